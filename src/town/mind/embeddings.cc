#include "town/mind/embeddings.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace throng::town {
namespace {

constexpr size_t kLanes = 32;  // a row is padded with zeros to a multiple, so that no loop has a rest

size_t StrideOf(size_t numbers) { return (numbers + kLanes - 1) / kLanes * kLanes; }

// a, b: [stride]. At most kMostNumbers products of at most 127 * 127.
int32_t Dot(const int8_t* a, const int8_t* b, size_t stride) {
  int32_t sum = 0;
  for (size_t i = 0; i < stride; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sum += int32_t{a[i + lane]} * b[i + lane];
  }
  return sum;
}

}  // namespace

void Embeddings::Append(const Embedding& embedding) {
  if (size_ == 0) numbers_ = static_cast<uint32_t>(embedding.size());
  THRONG_CHECK(embedding.size() == numbers_ && numbers_ > 0 && numbers_ <= kMostNumbers);
  Hasher hasher;
  hasher.Add(digest_).Bytes(embedding.data(), embedding.size());
  digest_ = hasher.Finish();
  auto chunk = std::make_shared<Chunk>();
  if (size_ % kChunkSize == 0) {
    chunk->before = last_;
  } else {
    *chunk = *last_;
  }
  const size_t stride = StrideOf(numbers_);
  chunk->numbers.insert(chunk->numbers.end(), embedding.begin(), embedding.end());
  chunk->numbers.resize((chunk->squares.size() + 1) * stride);
  const int8_t* const row = chunk->numbers.data() + chunk->squares.size() * stride;
  chunk->squares.push_back(Dot(row, row, stride));
  last_ = std::move(chunk);
  ++size_;
}

std::vector<int64_t> Embeddings::CosinesTo(const Embedding& query) const {
  std::vector<int64_t> cosines(size_);
  if (size_ == 0) return cosines;
  THRONG_CHECK(query.size() == numbers_);
  const size_t stride = StrideOf(numbers_);
  Embedding padded = query;
  padded.resize(stride);
  const int64_t of_query = Dot(padded.data(), padded.data(), stride);
  size_t end = size_;
  for (const Chunk* chunk = last_.get(); chunk; chunk = chunk->before.get()) {
    end -= chunk->squares.size();
    for (size_t i = 0; i < chunk->squares.size(); ++i) {
      const int64_t dot = Dot(padded.data(), chunk->numbers.data() + i * stride, stride);
      // IEEE's root is the same everywhere.
      const auto length = static_cast<int64_t>(std::sqrt(static_cast<double>(of_query * chunk->squares[i])));
      cosines[end + i] = length == 0 ? 0 : dot * kOne / length;
    }
  }
  return cosines;
}

std::vector<Embedding> Embeddings::All() const {
  std::vector<Embedding> all(size_);
  size_t end = size_;
  for (const Chunk* chunk = last_.get(); chunk; chunk = chunk->before.get()) {
    end -= chunk->squares.size();
    for (size_t i = 0; i < chunk->squares.size(); ++i) {
      const int8_t* const row = chunk->numbers.data() + i * StrideOf(numbers_);
      all[end + i].assign(row, row + numbers_);
    }
  }
  return all;
}

void Embeddings::Write(ByteWriter& out) const {
  out.Add(numbers_).Add(uint64_t{size_});
  for (const Embedding& embedding : All()) {
    for (const int8_t number : embedding) out.Add(number);
  }
}

Embeddings Embeddings::Read(ByteReader& in) {
  Embeddings embeddings;
  const auto numbers = in.Get<uint32_t>();
  size_t left = in.GetCount(std::max<size_t>(1, numbers));
  if (numbers > kMostNumbers || (numbers == 0) != (left == 0)) {
    throw Error(ErrorCode::kCorrupt, "embeddings have a length that cannot be");
  }
  for (; left > 0; --left) {
    Embedding embedding(numbers);
    for (int8_t& number : embedding) number = in.Get<int8_t>();
    embeddings.Append(embedding);
  }
  return embeddings;
}

}  // namespace throng::town
