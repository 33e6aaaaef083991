// Blocks of 256 weights whose parts have small scales under one scale in F16; layouts as in
// model/matmul/k_formats.cc and model/matmul/table_formats.cc.
#pragma once

#include <cstdint>

namespace throng::model {

// x: [256]
void QuantizeQ4K(const float* x, uint8_t* block);
void QuantizeQ6K(const float* x, uint8_t* block);
void QuantizeIq4Xs(const float* x, uint8_t* block);

}  // namespace throng::model
