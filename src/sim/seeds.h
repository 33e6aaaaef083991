// The seeds of a run. A run forked from another draws its answers with another seed from some step on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/space/ids.h"

namespace throng::sim {

struct SeedChange {
  Step from;  // applies to calls of this step and later ones
  uint64_t seed;
};

struct Seeds {
  uint64_t first = 0;
  std::vector<SeedChange> changes{};  // ascending by step
};

inline uint64_t SeedAt(const Seeds& seeds, Step step) {
  uint64_t seed = seeds.first;
  for (const SeedChange& change : seeds.changes) {
    if (change.from <= step) seed = change.seed;
  }
  return seed;
}

// The form kept in manifests: "1", or "1,7@500" for 7 from step 500 on.
std::string FormatSeeds(const Seeds& seeds);
// Throws kInvalid, naming what is allowed.
Seeds ParseSeeds(std::string_view text);

}  // namespace throng::sim
