// Quantised matrices in strips of 16 rows, whose blocks are interleaved by words: a kernel reads one stream
// from memory and finds each output in a lane of its own. Decode reads every weight once per token and so
// gains most.
//
// In a strip, blocks of the same columns lie together: word i (4 bytes) of the 16 rows' blocks is 64 bytes in
// a row. Where a block is no whole number of words, the 16 rows' scales of 2 bytes come first. Sizes stay the
// same, except that the last strip is filled up with zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "model/gguf/gguf.h"

namespace throng::model {

struct Matrix;

constexpr size_t kStripRows = 16;

// The scale that is no part of a word: 2 bytes or none, at `offset` of a block.
struct StripHalf {
  size_t bytes;
  size_t offset;
};
constexpr StripHalf StripHalfOf(TensorType type) {
  if (BlockSizeOf(type)->bytes % 4 == 0) return {0, 0};
  return {2, type == TensorType::kQ6_K ? size_t{208} : size_t{0}};
}

// A copy of a matrix in strips, in huge pages where the system grants them.
class Strips {
 public:
  // rows: a quantised matrix in row-major order, which must outlive the calls of Write. Reserves memory;
  // throws std::bad_alloc.
  explicit Strips(const Matrix& rows);

  size_t NumStrips() const { return num_strips_; }
  // Fills one strip; different strips on any threads.
  void Write(size_t strip);
  // All strips are written.
  Matrix View() const;

 private:
  struct Free {
    void operator()(uint8_t* data) const;
    size_t bytes;
  };

  std::unique_ptr<const Matrix> rows_;
  size_t num_strips_;
  std::unique_ptr<uint8_t[], Free> data_;
};

}  // namespace throng::model
