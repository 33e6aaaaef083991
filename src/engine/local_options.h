// How a model runs in this process: its file, its KV cache, and the limits of its engine.
#pragma once

#include <cstdint>
#include <string>

namespace throng::engine {

struct LocalOptions {
  std::string model{};         // a GGUF file; empty: the embedded model, town/model.gguf of the data folder
  std::string kv = "f16";      // codec of keys and values, or another form of codecs/codec_config.h
  std::string keys{};          // if not empty, the codec of keys instead
  std::string values{};        // if not empty, the codec of values instead
  std::string calibration{};   // text file for auto and flashq-mixed; empty: the built-in text
  std::string kv_out{};        // where to write which codecs were chosen; empty: nowhere
  std::string kv_choice{};     // a choice made before, as JSON: used instead of kv, keys and values
  std::string kv_choice_in{};  // where it comes from, for messages
  std::string softmax = "exact";  // or "sas": an approximation that computes less
  uint64_t kv_budget_bytes = 0;   // of all caches together, hard; 0: half of the memory that is free now
  int threads = 0;                // 0: as many as the hardware has
  int max_batch = 128;            // sequences that run at once
  int step_tokens = 512;          // tokens of one forward pass
  int chunk_tokens = 256;         // of one prompt in one forward pass
  int max_context = 0;            // prompt and answer together; 0: what the model was trained for
  bool prefix_cache = true;
  // What leaves the prefix cache first: next-use: the blocks that are needed last, as far as ExpectNext and
  // former prompts tell; lru: the least recently used ones.
  std::string eviction = "next-use";
  std::string spill{};                        // folder for blocks that memory has no room for; empty: none
  uint64_t spill_bytes = uint64_t{16} << 30;  // at most so many there
};

}  // namespace throng::engine
