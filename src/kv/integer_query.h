// A prepared query row of the codecs int8 and rot: in INT8, with its scale and its sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>

namespace throng::kv {

struct IntegerQuery {
  const uint8_t* pairs;  // 2 d bytes: the codes again, as the codec's products of 16 bits want them
  const int8_t* codes;   // [d]
  float scale;
  int32_t sum;  // of the codes
};

inline size_t IntegerQueryBytes(int head_dim) {
  return (3 * static_cast<size_t>(head_dim) + sizeof(float) + sizeof(int32_t) + 63) / 64 * 64;
}

// prepared: [rows, IntegerQueryBytes(head_dim)].
inline IntegerQuery ViewIntegerQuery(const void* prepared, int head_dim, int row) {
  const uint8_t* p = static_cast<const uint8_t*>(prepared) + row * IntegerQueryBytes(head_dim);
  IntegerQuery query{p, reinterpret_cast<const int8_t*>(p) + 2 * head_dim, 0.0f, 0};
  std::memcpy(&query.scale, p + 3 * head_dim, sizeof(query.scale));
  std::memcpy(&query.sum, p + 3 * head_dim + sizeof(query.scale), sizeof(query.sum));
  return query;
}

// pairs: 2 d bytes; codes: [d].
inline void StoreIntegerQuery(const void* pairs, const int8_t* codes, float scale, int head_dim,
                              void* prepared) {
  auto* p = static_cast<uint8_t*>(prepared);
  const int32_t sum = std::accumulate(codes, codes + head_dim, 0);
  std::memcpy(p, pairs, 2 * head_dim);
  std::memcpy(p + 2 * head_dim, codes, head_dim);
  std::memcpy(p + 3 * head_dim, &scale, sizeof(scale));
  std::memcpy(p + 3 * head_dim + sizeof(scale), &sum, sizeof(sum));
}

}  // namespace throng::kv
