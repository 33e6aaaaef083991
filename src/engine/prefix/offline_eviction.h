// What eviction with advance knowledge of all prompts must recompute: the bound for policies that must guess.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace throng::engine {

// The complete blocks that a prompt can take from the prefix cache, first to last. An id stands for the
// tokens of the block and of all blocks before it.
using BlockPath = std::vector<uint64_t>;

BlockPath PathOf(std::span<const int32_t> prompt);

// Counts recomputations of blocks if memory holds `capacity` blocks and the one with the farthest next use
// leaves first (Belady's MIN): the fewest possible.
size_t LeastRecomputed(std::span<const BlockPath> prompts, size_t capacity);

// The largest number of blocks at one time that have been computed and will be used again.
size_t PeakOfLive(std::span<const BlockPath> prompts);

}  // namespace throng::engine
