// One block of each family of formats as floats: block_formats.cc finds the function of a type here.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "model/gguf/tensor_type.h"

namespace throng::model {

template <typename T>
T LoadNumber(const uint8_t* p) {
  T number;
  std::memcpy(&number, p, sizeof(number));
  return number;
}

inline float LoadHalf(const uint8_t* p) { return HalfToFloat(LoadNumber<uint16_t>(p)); }

// k_formats.cc: blocks of 256 codes of 2 to 6 bits, and of 3 values; and Q1_0 and Q2_0, by their bits.
void DequantizeBitStream(const uint8_t* block, int bits, float* out);
void DequantizeQ2K(const uint8_t* block, float* out);
void DequantizeQ3K(const uint8_t* block, float* out);
void DequantizeQ4K(const uint8_t* block, float* out);
void DequantizeQ5K(const uint8_t* block, float* out);
void DequantizeQ6K(const uint8_t* block, float* out);
void DequantizeTQ1(const uint8_t* block, float* out);
void DequantizeTQ2(const uint8_t* block, float* out);

// table_formats.cc: codes that are places in a table of 16 numbers.
void DequantizeIq4Nl(const uint8_t* block, float* out);
void DequantizeIq4Xs(const uint8_t* block, float* out);
void DequantizeMxFp4(const uint8_t* block, float* out);
void DequantizeNvFp4(const uint8_t* block, float* out);

// codebook_formats.cc: codes that stand for 8 or 4 weights (codebooks.h).
void DequantizeIq2Xxs(const uint8_t* block, float* out);
void DequantizeIq2Xs(const uint8_t* block, float* out);
void DequantizeIq2S(const uint8_t* block, float* out);
void DequantizeIq3Xxs(const uint8_t* block, float* out);
void DequantizeIq3S(const uint8_t* block, float* out);
void DequantizeIq1S(const uint8_t* block, float* out);
void DequantizeIq1M(const uint8_t* block, float* out);

}  // namespace throng::model
