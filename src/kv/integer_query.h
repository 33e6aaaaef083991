// The prepared query row of codecs with integer products: INT8 codes, their scale and their sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "kv/codec.h"

namespace throng::kv {

// Whether the row repeats the codes in the form that a codec's 16-bit products read.
enum class QueryForm { kCodes, kCodesAndPairs };

struct IntegerQuery {
  const int8_t* codes;  // [d]
  float scale;
  int32_t sum;           // of the codes
  const uint8_t* pairs;  // 2 d bytes, with kCodesAndPairs
};

constexpr size_t IntegerQueryBytes(QueryForm form, int head_dim) {
  const size_t d = static_cast<size_t>(head_dim);
  return RoundUp64(d + sizeof(float) + sizeof(int32_t) + (form == QueryForm::kCodesAndPairs ? 2 * d : 0));
}

// prepared: [rows, IntegerQueryBytes(form, head_dim)].
inline IntegerQuery ViewIntegerQuery(QueryForm form, const void* prepared, int head_dim, int row) {
  const uint8_t* p = static_cast<const uint8_t*>(prepared) + row * IntegerQueryBytes(form, head_dim);
  const uint8_t* scale = p + head_dim;
  const uint8_t* sum = scale + sizeof(float);
  IntegerQuery query{reinterpret_cast<const int8_t*>(p), 0.0f, 0, sum + sizeof(int32_t)};
  std::memcpy(&query.scale, scale, sizeof(query.scale));
  std::memcpy(&query.sum, sum, sizeof(query.sum));
  return query;
}

// codes: [d]. pairs: 2 d bytes, or null for a row of kCodes.
inline void StoreIntegerQuery(const int8_t* codes, float scale, const void* pairs, int head_dim,
                              void* prepared) {
  auto* p = static_cast<uint8_t*>(prepared);
  const int32_t sum = std::accumulate(codes, codes + head_dim, 0);
  std::memcpy(p, codes, head_dim);
  std::memcpy(p + head_dim, &scale, sizeof(scale));
  std::memcpy(p + head_dim + sizeof(scale), &sum, sizeof(sum));
  if (pairs != nullptr) std::memcpy(p + head_dim + sizeof(scale) + sizeof(sum), pairs, 2 * head_dim);
}

}  // namespace throng::kv
