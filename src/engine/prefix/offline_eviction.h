// What an eviction that knew all prompts in advance would have to compute again: the bound for those that
// must guess.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace throng::engine {

// The whole blocks that a prompt can take from the prefix cache, first to last. An id stands for the tokens
// of the block and of all before it.
using BlockPath = std::vector<uint64_t>;

BlockPath PathOf(std::span<const int32_t> prompt);

// Blocks that have to be computed more than once if memory holds so many, and the block whose next use is
// farthest leaves it (Belady's MIN): the fewest possible.
size_t LeastRecomputed(std::span<const BlockPath> prompts, size_t capacity);

// The most blocks at one time that are there and will be used again.
size_t PeakOfLive(std::span<const BlockPath> prompts);

}  // namespace throng::engine
