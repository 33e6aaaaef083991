// The codebooks of GGUF's IQ formats: each entry stands for 8 (or 4) weights of a row, one in a byte, the
// first in the lowest. The tables are part of the formats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace throng::model {

// Sizes 8, 25 and 43; signs are stored with the codes.
extern const std::array<uint64_t, 256> kIq2XxsGrid;
extern const std::array<uint64_t, 512> kIq2XsGrid;
extern const std::array<uint64_t, 1024> kIq2SGrid;
// Sizes 4, 12, 20, 28, 36, 44, 52 and 62, and odd ones from 1 to 15.
extern const std::array<uint32_t, 256> kIq3XxsGrid;
extern const std::array<uint32_t, 512> kIq3SGrid;
// IQ1_S and IQ1_M: -1, 0 and 1 as 0, 8 and 16: in eighths, the unit of the shift that all 8 share, and 8
// more.
extern const std::array<uint64_t, 2048> kIq1Grid;

// The sizes that the weights of an entry can have.
inline constexpr std::array<uint8_t, 3> kIq2Sizes = {8, 25, 43};
inline constexpr std::array<uint8_t, 8> kIq3XxsSizes = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::array<uint8_t, 8> kIq3SSizes = {1, 3, 5, 7, 9, 11, 13, 15};

// The same entries as places in those lists, half of an entry in each of two bytes, the first weight in the
// lowest bits: 4 places of 2 bits or, of IQ3, 2 of 4. [half, entry]
template <size_t kEntries>
using Levels = std::array<std::array<uint8_t, kEntries>, 2>;
alignas(64) extern const Levels<256> kIq2XxsLevels;
alignas(64) extern const Levels<512> kIq2XsLevels;
alignas(64) extern const Levels<256> kIq3XxsLevels;
alignas(64) extern const Levels<512> kIq3SLevels;

// IQ4_NL and IQ4_XS.
inline constexpr std::array<int8_t, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};
// MXFP4 and NVFP4: twice the numbers of E2M1 (1 bit of sign, 2 of exponent, 1 of mantissa).
inline constexpr std::array<int8_t, 16> kFp4Values = {0, 1,  2,  3,  4,  6,  8,  12,
                                                      0, -1, -2, -3, -4, -6, -8, -12};

// The sign bits of 8 weights of which 7 are stored: the last makes their number even.
constexpr uint8_t WithParity(uint32_t seven_bits) {
  uint32_t parity = seven_bits ^ seven_bits >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return static_cast<uint8_t>(seven_bits | (parity & 1) << 7);
}

}  // namespace throng::model
