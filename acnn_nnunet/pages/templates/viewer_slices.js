"use strict";
/* Packed volumes: their voxels, and slices of them on a canvas. No WebGL, no request. */
const acnnSlices = (function () {
  const MOST_KEPT = 24;
  const unpacked = new Map();

  /* Return the voxels of a packed volume: base64, zlib, then running sums along the axes it names. */
  function voxelsOf(volume) {
    let voxels = unpacked.get(volume);
    if (voxels) return voxels;
    voxels = unpack(volume);
    unpacked.set(volume, voxels);
    if (unpacked.size > MOST_KEPT) unpacked.delete(unpacked.keys().next().value);
    return voxels;
  }

  async function unpack(volume) {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("This browser is too old to unpack the images: use Chrome 80, Firefox 113, Safari 16.4 or later.");
    }
    const text = atob(volume.data);
    const packed = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const voxels = new Uint8Array(await new Response(stream).arrayBuffer());
    const strides = stridesOf(volume.shape);
    for (const axis of volume.axes) {
      const step = strides[axis], block = step * volume.shape[axis];
      for (let start = 0; start < voxels.length; start += block) {
        for (let i = start + step; i < start + block; i++) voxels[i] += voxels[i - step]; // modulo 256
      }
    }
    return voxels;
  }

  function stridesOf(shape) { return [shape[1] * shape[2], shape[2], 1]; }

  function rgb(colour) { return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)); }

  /* Return the two axes of a plane across an axis: of its rows, of its columns. */
  function axesOf(axis) { return [0, 1, 2].filter((other) => other !== axis); }

  /* Return the slice of a volume at a place in mm: voxels, and the pixels that they fill; null outside of the volume. */
  function sliceAt(volume, voxels, axis, place, pixel) {
    const [row, column] = axesOf(axis), strides = stridesOf(volume.shape);
    const number = Math.floor((place - volume.offset[axis]) / volume.spacing[axis]);
    if (number < 0 || number >= volume.shape[axis]) return null;
    return {
      voxels, start: number * strides[axis], rows: volume.shape[row], columns: volume.shape[column],
      down: strides[row], right: strides[column], x: volume.offset[column] * pixel, y: volume.offset[row] * pixel,
      dx: volume.spacing[column] * pixel, dy: volume.spacing[row] * pixel,
    };
  }

  const scratch = document.createElement("canvas");

  /* Draw a slice with a colour (ABGR) for each of the 256 values. */
  function stamp(context, slice, colours) {
    const { rows, columns } = slice;
    scratch.width = columns;
    scratch.height = rows;
    const beside = scratch.getContext("2d");
    const picture = beside.createImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let row = 0, i = 0; row < rows; row++) {
      for (let at = slice.start + row * slice.down, column = 0; column < columns; column++, at += slice.right) {
        pixels[i++] = colours[slice.voxels[at]];
      }
    }
    beside.putImageData(picture, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(scratch, slice.x, slice.y, columns * slice.dx, rows * slice.dy);
  }

  function paintImage(context, slice, level, width) {
    const colours = new Uint32Array(256);
    for (let value = 0; value < 256; value++) {
      const grey = Math.min(255, Math.max(0, Math.round(((value - level) / width + 0.5) * 255)));
      colours[value] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    stamp(context, slice, colours);
  }

  function fillLabels(context, slice, labels, opacity) {
    const colours = new Uint32Array(256), alpha = Math.round(opacity * 255);
    labels.forEach((label, place) => {
      const [red, green, blue] = rgb(label.colour);
      colours[place + 1] = (alpha << 24) | (blue << 16) | (green << 8) | red;
    });
    stamp(context, slice, colours);
  }

  /* Draw the outline of each label along the edges of its voxels. */
  function strokeLabels(context, slice, labels, lineWidth) {
    const { voxels, rows, columns, x, y, dx, dy } = slice, paths = [];
    const at = (row, column) => row < 0 || column < 0 || row >= rows || column >= columns
      ? 0 : voxels[slice.start + row * slice.down + column * slice.right];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const value = at(row, column);
        if (!value) continue;
        const path = paths[value] || (paths[value] = new Path2D());
        const left = x + column * dx, top = y + row * dy;
        const line = (fromX, fromY, toX, toY) => { path.moveTo(fromX, fromY); path.lineTo(toX, toY); };
        if (at(row - 1, column) !== value) line(left, top, left + dx, top);
        if (at(row + 1, column) !== value) line(left, top + dy, left + dx, top + dy);
        if (at(row, column - 1) !== value) line(left, top, left, top + dy);
        if (at(row, column + 1) !== value) line(left + dx, top, left + dx, top + dy);
      }
    }
    context.lineWidth = lineWidth;
    context.lineCap = "square";
    paths.forEach((path, value) => {
      context.strokeStyle = labels[value - 1].colour;
      context.stroke(path);
    });
  }

  return { voxelsOf, sliceAt, axesOf, paintImage, fillLabels, strokeLabels };
})();
