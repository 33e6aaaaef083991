// Quantised matrices in strips of 16 rows, whose blocks are interleaved by words: a kernel reads one stream
// from memory and finds each output in a lane of its own. Decode reads every weight once per token and so
// gains most.
//
// In a strip, blocks of the same columns lie together. Each word (4 bytes) of the 16 rows' blocks is 64 bytes
// in a row, and words follow each other as they are used. Where a block is no whole number of words, the 16
// rows' scales of 1 or 2 bytes come first. Sizes stay the same, except that the last strip is filled up with
// zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/huge_pages.h"
#include "model/gguf/gguf.h"

namespace throng::model {

struct Matrix;

constexpr size_t kStripRows = 16;

// How the blocks of a type lie in a strip.
struct StripLayout {
  size_t rest;  // bytes of a block beyond whole words, at most 2: a scale, which it begins or ends with
  size_t rest_offset;  // where that is in the block
  bool is_q6_k;        // words are moved
};

constexpr StripLayout StripLayoutOf(TensorType type) {
  const size_t bytes = BlockSizeOf(type)->bytes;
  switch (type) {
    case TensorType::kQ3_K:
    case TensorType::kQ6_K:
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
      return {bytes % 4, bytes - bytes % 4, type == TensorType::kQ6_K};
    default:
      return {bytes % 4, 0, false};
  }
}

// Where the word at `offset` of a block goes: times 16 in a strip's block.
constexpr size_t StripPlace(StripLayout layout, size_t offset) {
  if (layout.rest_offset == 0) return offset;
  if (!layout.is_q6_k) return layout.rest + offset;
  // Scales, then for each half of the block its 64 bytes of low bits and its 32 bytes of high bits.
  constexpr size_t kLow = 128, kHigh = 64, kScales = 16;
  constexpr size_t kHalf = (kLow + kHigh) / 2;
  if (offset >= kLow + kHigh) return 2 + offset - (kLow + kHigh);
  const size_t half = offset < kLow ? offset / (kLow / 2) : (offset - kLow) / (kHigh / 2);
  const size_t place = offset < kLow ? offset % (kLow / 2) : kLow / 2 + (offset - kLow) % (kHigh / 2);
  return 2 + kScales + half * kHalf + place;
}

// How many bytes ahead kernels fetch a strip into the second-level cache, measured on Intel's cores and
// AMD's. From there lines come to the first level shortly before they are used: cores wait for memory with
// few lines of the first level (Intel's 16, and 48 of the second), and what comes to it early pushes out what
// is in use.
extern const size_t kFetchDistance;

// Returns memory for FreeHuge; throws std::bad_alloc.
using AllocateFn = std::function<void*(size_t bytes)>;

// A copy of a matrix in memory of its own, in huge pages where the system grants them, spread over the
// machine's memory nodes: quantised ones in strips, others as they were, and so parts (Matrix::parts) whose
// rows fill no strips.
class RepackedMatrix {
 public:
  // rows: in row-major order; must outlive the calls of Write. Reserves memory; throws what allocate throws.
  explicit RepackedMatrix(const Matrix& rows, const AllocateFn& allocate = AllocateHuge);

  // Strips, the units of Write.
  size_t NumStrips() const { return num_strips_; }
  // Copies one strip; different ones on any threads.
  void Write(size_t strip);
  // The copy, once all strips are written.
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
