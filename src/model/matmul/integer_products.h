// Products of 8-bit activations with quantised weights, by families of formats, each compiled on its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

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

constexpr size_t kActivationRows = 16;

// A group of 16 rows of QuantizedRows as matrix instructions take it.
struct alignas(64) ActivationTile {
  int8_t codes[kActivationRows][32];
  float scales[kActivationRows];
  float sums[kActivationRows];
  float half_sums[2][kActivationRows];  // scale * sum of 16 codes
};

// One term of the activations. tiles: [rows / 16, groups], filled up with scales and sums of 0; null where no
// matrix instructions are used.
struct Term {
  const QuantizedRows* rows;
  const ActivationTile* tiles;
};

// The activations as a sum: the rounded ones and, for fine products, what rounding left.
struct Terms {
  bool InTiles() const { return terms.front().tiles != nullptr; }
  size_t Groups() const { return terms.front().rows->groups; }

  std::span<const Term> terms;
};

// Outputs [first, end), whole tiles, of all rows. buffer: WorkerBytes of matmul.cc, aligned to 64.
using MultiplyIntegersFn = void (*)(const Product& product, size_t first, size_t end, const Terms& terms,
                                    size_t rows, uint8_t* buffer);

// For this machine; each in the file of its name.
MultiplyIntegersFn PlainProducts();
MultiplyIntegersFn LowBitProducts();
MultiplyIntegersFn CodebookProducts();

}  // namespace throng::model
