"""Challenge data: conversion into a raw dataset, submissions out."""
