// The seeds of a run that was forked from another: from some steps on, answers are drawn with another seed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/space/ids.h"

namespace throng::sim {

struct SeedChange {
  Step from;  // calls of this step and later ones
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

// As manifests keep them: "1", or "1,7@500" for 7 from step 500 on.
std::string FormatSeeds(const Seeds& seeds);
// Throws kInvalid, naming what is allowed.
Seeds ParseSeeds(std::string_view text);

}  // namespace throng::sim
