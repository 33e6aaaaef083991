// Errors of attention over each codec's pages against the double-precision reference: bounds for tests and
// benchmarks.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/check.h"

namespace throng::attention {

struct CodecError {
  std::string_view codec;
  double low, high;
};

// Lowest and highest relative errors of outputs in the L2 norm, over runs on AVX2 with normally distributed
// rows: head sizes 8 to 128, 1 and 4 query heads on each of 2 KV heads, 8 tokens after 120 to 992 others,
// queries of deviation 1 and 1.5, exact softmax and SAS. Keys and values have the same codec. The errors come
// from rounding queries and probabilities to integers; the reference reads decoded pages.
inline constexpr CodecError kCodecErrors[] = {
    {"f32", 0, 1e-6},
    {"f16", 0, 1e-6},
    {"int8", 0.0026, 0.0101},
    {"kivi4", 0.0044, 0.0144},
    {"kivi3", 0.0045, 0.0142},
    {"kivi2", 0.0053, 0.0141},
    {"kcvt4", 0.0044, 0.0143},
    {"gearl4", 0.0041, 0.0144},
    {"gearl2", 0.0053, 0.0142},
    {"gear4", 0.0038, 0.0124},
    {"gear2", 0.0045, 0.0130},
    {"flashq4", 0.0040, 0.0123},
    {"flashq2", 0.0051, 0.0132},
    {"flashq-mixed", 0.0046, 0.0130},
    {"rot4", 0.0032, 0.0097},
    {"rot3", 0.0032, 0.0097},
    {"rot2", 0.0028, 0.0097},
    {"kvarn", 0.0044, 0.0144},
    {"int4", 0.0032, 0.0097},
    {"fp8", 0, 1e-6},
};

// spec: a codec with or without parameters, which hardly change its error.
inline const CodecError& CodecErrorOf(std::string_view spec) {
  const std::string_view name = spec.substr(0, spec.find(':'));
  const auto* found = std::find_if(std::begin(kCodecErrors), std::end(kCodecErrors),
                                   [name](const CodecError& error) { return error.codec == name; });
  THRONG_CHECK(found != std::end(kCodecErrors));  // every codec of the codec table needs a line
  return *found;
}

}  // namespace throng::attention
