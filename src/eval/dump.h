// Writes a model's keys and values for texts to a file for numpy: the input of codecs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/loaded_model.h"

namespace throng {
class ThreadPool;
}

namespace throng::eval {

// Writes f32 [pages, layers, kv heads, 2, 64, head size] in .npy format: keys (after rotation) and values of
// all complete pages, at most max_pages. Returns the number written. Throws kInvalid if no text has 64
// tokens, kIo.
size_t DumpPages(const engine::LoadedModel& model, std::span<const std::vector<int32_t>> texts,
                 size_t max_pages, const std::string& path, ThreadPool& threads);

}  // namespace throng::eval
