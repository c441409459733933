"""Datasets: conversion in, submission out, and the generated phantom."""
