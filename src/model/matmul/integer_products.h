// Products of 8-bit activations with quantised weights, by families of formats, each compiled on its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/matmul/matmul.h"

namespace throng::model {

enum class Family {
  kPlain,     // of 4 to 8 bits
  kLowBit,    // of 1 to 4 bits, or places in a table of 16 numbers
  kCodebook,  // entries that stand for 4 or 8 weights
};

// type: quantised.
constexpr Family FamilyOf(TensorType type) {
  switch (type) {
    case TensorType::kQ8_0:
    case TensorType::kQ5_1:
    case TensorType::kQ5_0:
    case TensorType::kQ4_1:
    case TensorType::kQ4_0:
    case TensorType::kQ6_K:
    case TensorType::kQ5_K:
    case TensorType::kQ4_K:
      return Family::kPlain;
    case TensorType::kIQ3_S:
    case TensorType::kIQ3_XXS:
    case TensorType::kIQ2_S:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ1_M:
    case TensorType::kIQ1_S:
      return Family::kCodebook;
    default:
      return Family::kLowBit;
  }
}

// The activations as a sum: the rounded ones and, for fine products, what rounding left (else null).
struct Terms {
  const QuantizedRows* quantized;
  const QuantizedRows* remainder;
};

// One tile of outputs, of all rows. buffer: WorkerBytes of matmul.cc, aligned to 64.
using MultiplyTileFn = void (*)(const Product& product, size_t first_output, const Terms& terms, size_t rows,
                                uint8_t* buffer);

// For this machine; each in the file of its name.
MultiplyTileFn PlainProducts();
MultiplyTileFn LowBitProducts();
MultiplyTileFn CodebookProducts();

}  // namespace throng::model
