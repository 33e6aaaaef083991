// What the kernels of attention share of their arguments.
#pragma once

#include <cstdint>

namespace throng::device {

// Where a layer's pages of KV head 0 are in a block, in bytes; heads are head_stride apart.
struct Places {
  int64_t keys, values, head_stride;
};

// One layer. Arguments have no padding (launch_list.h).
struct AttentionArgs {
  const float* queries;  // [rows, kv_heads, group, d] after rotation
  float* out;            // the same
  const float* sinks;    // [kv_heads, group]: a score more of each query head, of a value of 0; null: none
  float scale;           // of scores
  int group;             // query heads of a KV head
  int64_t kv_heads;
  Places sealed, open;  // in sealed and in open blocks
};

}  // namespace throng::device
