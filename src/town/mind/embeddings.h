// The embeddings of one agent's memories: append-only, shared between versions, and exact to compare.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/digest.h"

namespace throng::town {

// Whole numbers from -127 to 127, of which only the direction matters; all 0: of nothing.
using Embedding = std::vector<int8_t>;

// Embedding number i is that of memory i. Copying shares all but the last few. Each takes its length, rounded
// up to 32 bytes, and 4 bytes for the sum of its squares.
class Embeddings {
 public:
  static constexpr uint32_t kMostNumbers = 65536;  // of an embedding: so sums of products fit 32 bits
  static constexpr int64_t kOne = 1 << 20;         // a cosine of 1

  // All have the length of the first, which is 1 to kMostNumbers.
  void Append(const Embedding& embedding);

  uint32_t Size() const { return size_; }
  uint32_t NumNumbers() const { return numbers_; }  // of each embedding; 0: there are none
  // Digest of all in order; Append updates it.
  const Digest& GetDigest() const { return digest_; }
  std::vector<Embedding> All() const;
  void Write(ByteWriter& out) const;
  static Embeddings Read(ByteReader& in);  // throws kCorrupt for what Write cannot have written

  // The cosine of each to this one, of the same length, in units of 1 / kOne; 0 where one is of nothing. In
  // whole numbers, and so the same on every machine.
  std::vector<int64_t> CosinesTo(const Embedding& query) const;

 private:
  struct Chunk {
    std::shared_ptr<const Chunk> before;
    std::vector<int8_t> numbers;   // [count][stride]
    std::vector<int32_t> squares;  // [count]: sums of squares; kChunkSize, fewer in the last chunk
  };
  static constexpr size_t kChunkSize = 16;

  std::shared_ptr<const Chunk> last_;
  uint32_t size_ = 0;
  uint32_t numbers_ = 0;
  Digest digest_;
};

}  // namespace throng::town
