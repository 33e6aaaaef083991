// Products of activations with weights in their GGUF blocks: y[r, o] = sum over k of x[r, k] * w[o, k].
//
// F32 and F16 weights are multiplied in f32, BF16 ones with activations rounded to BF16, as models in BF16
// are trained, and added in f32. The others are multiplied as integers with activations rounded to 8 bits in
// groups of 32 (scale = max |x| / 127), and added in f32 across groups; fine products add the remainder of
// that rounding, rounded to 8 bits again. Each (row, output) pair has one order of operations, which does not
// depend on the other rows, the other outputs, or the threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "model/gguf/gguf.h"
#include "model/matmul/repack.h"

namespace throng {
class ThreadPool;
}

namespace throng::model {

// A view of a weight matrix, each row whole blocks: row-major, without any alignment, or in strips.
struct Matrix {
  TensorType type = TensorType::kF32;
  size_t rows = 0;  // outputs
  size_t cols = 0;  // inputs
  const uint8_t* data = nullptr;
  bool in_strips = false;         // as class RepackedMatrix writes them
  size_t parts = 1;               // of equal numbers of rows, which are multiplied apart: experts
  const float* scales = nullptr;  // [parts]: factors of what each part's products give; null: none

  size_t RowBytes() const {
    const BlockSize block = *BlockSizeOf(type);
    return cols / block.elements * block.bytes;
  }
  size_t Bytes() const { return rows * RowBytes(); }
  // Of a row's part; `scales` is not null.
  const float& ScaleOf(size_t row) const { return scales[row / (rows / parts)]; }
  // Rows of one part.
  Matrix Rows(size_t first, size_t count) const {
    THRONG_DCHECK(first + count <= rows && (!in_strips || first % kStripRows == 0));
    // There are no data where a file was opened for its header.
    const uint8_t* rows_data = data == nullptr ? nullptr : data + first * RowBytes();
    return {type, count, cols, rows_data, in_strips, 1, scales == nullptr ? nullptr : &ScaleOf(first)};
  }
};

// One of several products of the same x.
struct Product {
  Matrix w;
  float* y;           // [rows, w.rows]
  size_t y_stride;    // floats from row to row
  bool fine = false;  // twice the integer work, for results whose errors grow: the arguments of a softmax
};

// Activations rounded to 8 bits, in groups of 32.
struct QuantizedRows {
  size_t groups = 0;               // per row
  std::vector<int8_t> codes;       // [rows, groups * 32], -127 to 127
  std::vector<float> scales;       // [rows, groups]
  std::vector<float> sums;         // [rows, groups]: scale * sum of codes
  std::vector<int32_t> code_sums;  // [rows, groups]: sums of codes
  std::vector<int32_t> half_sums;  // [rows, groups, 2]: of 16 codes each
};

// Buffers, kept from call to call.
struct MatMulScratch {
  bool exact_activations = false;  // multiplies all weights in f32
  std::vector<uint8_t> rounded;    // activations for BF16 weights
  QuantizedRows quantized;
  QuantizedRows remainder;  // what rounding to `quantized` left, for fine products
  std::vector<std::vector<uint8_t>> workers;
};

// x: [rows, cols] with x_stride floats from row to row; all products have w.cols == cols. pool may be null:
// then, and when there is little to do, everything runs on this thread. x must be finite.
void MatMul(const float* x, size_t rows, size_t cols, size_t x_stride, std::span<const Product> products,
            MatMulScratch& scratch, ThreadPool* pool);

// The specification, in double precision; `exact`: of exact activations, else of those that are rounded as
// the weights' type says, for products that are not fine.
void MatMulReference(const float* x, size_t rows, size_t x_stride, bool exact, const Product& product);

// True for types that are multiplied as integers.
bool IsQuantized(TensorType type);

}  // namespace throng::model
