// Any numbers through any codec give finite numbers; any bytes that a codec accepts as a page stay within its
// buffers; any text as a codec's name gives a codec or an Error.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kv/codec_table.h"

using throng::Error;
using namespace throng::kv;

namespace {

constexpr int kRows = 2;

struct Free {
  void operator()(uint8_t* p) const { std::free(p); }
};
using Bytes = std::unique_ptr<uint8_t, Free>;

// Exactly as large as requested, so that the sanitizer sees the first byte beyond.
Bytes Allocate(size_t size) {
  void* p = nullptr;
  if (posix_memalign(&p, 64, size) != 0) std::abort();
  return Bytes(static_cast<uint8_t*>(p));
}

// Repeats the input over and over.
template <typename T>
void Tile(const uint8_t* data, size_t size, T* to, size_t count) {
  auto* bytes = reinterpret_cast<uint8_t*>(to);
  for (size_t i = 0; i < count * sizeof(T); ++i) bytes[i] = size == 0 ? 0 : data[i % size];
}

bool AllFinite(const std::vector<float>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); });
}

// Does what attention does with a page; true if all results are finite.
bool Use(const Codec& codec, int d, const uint8_t* keys, const uint8_t* values,
         const std::vector<float>& query) {
  std::vector<float> decoded(static_cast<size_t>(kPageTokens) * d), scores(kRows * kPageTokens);
  codec.Decode(Part::kKeys, keys, decoded.data());
  bool finite = AllFinite(decoded);
  codec.Decode(Part::kValues, values, decoded.data());
  finite = finite && AllFinite(decoded);
  const Bytes prepared = Allocate(kRows * codec.QueryBytes());
  for (int r = 0; r < kRows; ++r) {
    codec.PrepareQuery(query.data(), prepared.get() + static_cast<size_t>(r) * codec.QueryBytes());
  }
  codec.Score(keys, prepared.get(), kRows, scores.data());
  finite = finite && AllFinite(scores);
  for (float& p : scores) p = p == p ? 1.0f / (1.0f + std::abs(p)) : 0.0f;
  const std::vector<float> rescale(kRows, 0.5f);
  std::vector<float> out(static_cast<size_t>(kRows) * d, 1.0f);
  codec.Mix(values, scores.data(), rescale.data(), kRows, out.data());
  return finite && AllFinite(out);
}

void Parse(const uint8_t* data, size_t size) {
  try {
    const std::string spec(reinterpret_cast<const char*>(data), size);
    const auto codec = ParseCodec(spec, 16);
    if (ParseCodec(codec->Name(), 16)->Name() != codec->Name()) __builtin_trap();
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const auto table = CodecTable();
  const CodecEntry& entry = table[data[0] % table.size()];
  constexpr int kSizes[] = {8, 16, 24, 64};
  const int d = kSizes[data[1] % 4];
  const int mode = data[2] % 3;
  data += 3;
  size -= 3;
  if (mode == 0) {
    Parse(data, size);
    return 0;
  }
  const auto codec = ParseCodec(entry.name, d);
  std::vector<float> block(static_cast<size_t>(kPageTokens) * d), query(static_cast<size_t>(d));
  Tile(data, size, block.data(), block.size());
  Tile(data, size, query.data(), query.size());
  const Bytes keys = Allocate(codec->Bytes(Part::kKeys)), values = Allocate(codec->Bytes(Part::kValues));
  if (mode == 1) {
    codec->Encode(Part::kKeys, block.data(), keys.get());
    codec->Encode(Part::kValues, block.data(), values.get());
    if (!codec->Accepts(Part::kKeys, keys.get()) || !codec->Accepts(Part::kValues, values.get()))
      __builtin_trap();
    if (!Use(*codec, d, keys.get(), values.get(), query)) __builtin_trap();
    return 0;
  }
  Tile(data, size, keys.get(), codec->Bytes(Part::kKeys));
  Tile(data, size, values.get(), codec->Bytes(Part::kValues));
  if (codec->Accepts(Part::kKeys, keys.get()) && codec->Accepts(Part::kValues, values.get())) {
    Use(*codec, d, keys.get(), values.get(), query);
  }
  return 0;
}
