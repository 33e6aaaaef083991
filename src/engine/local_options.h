// How a model runs in this process: its file, its KV cache, and the limits of its engine.
#pragma once

#include <cstdint>
#include <string>

namespace throng::engine {

struct LocalOptions {
  // A GGUF file, or a folder (model/folder/folder.h); empty: the embedded model, town/model.gguf of the data
  // folder.
  std::string model{};
  std::string chat_template{};    // a file with the template of chats; empty: the model's own
  std::string device = "cpu";     // what computes: cpu, cuda, cuda:N or cuda:N:SIZE (gpu/transformer.h)
  std::string kv = "f16";         // codec of keys and values, or another form of codecs/codec_config.h
  std::string keys{};             // if not empty, the codec of keys instead
  std::string values{};           // if not empty, the codec of values instead
  std::string calibration{};      // text file for auto and flashq-mixed; empty: the built-in text
  std::string kv_out{};           // file to write the chosen codecs to; empty: none
  std::string kv_choice{};        // an earlier choice, as JSON; replaces kv, keys and values
  std::string kv_choice_in{};     // file that kv_choice comes from, for messages
  std::string softmax = "exact";  // or "sas": an approximation that computes less
  // Hard limit for all caches together; 0: half of the device's memory that is free.
  uint64_t kv_budget_bytes = 0;
  // Whether weights are copied for speed (model/matmul/repack.h): "on", "off", or "auto": if there is room
  // (ShouldRepack).
  std::string repack = "auto";
  bool repack_at_start = false;  // copy them before the first request, not in the first pass of few tokens
  int threads = 0;               // 0: one per core that the process may use
  int max_batch = 128;           // sequences that run at once
  int step_tokens = 512;         // most tokens in one forward pass
  int chunk_tokens = 256;        // most tokens of one prompt in one forward pass
  int max_context = 0;  // most tokens of prompt and answer together; 0: what the model was trained for
  std::string lookup = "auto";  // guess tokens from the prompt where that saves time; "off": never
  bool prefix_cache = true;
  // Which blocks leave the prefix cache first. next-use: those expected to be needed last, judging by
  // ExpectNext and earlier prompts. lru: the least recently used.
  std::string eviction = "next-use";
  std::string spill{};                        // folder for blocks without room in memory; empty: none
  uint64_t spill_bytes = uint64_t{16} << 30;  // most bytes in that folder
};

}  // namespace throng::engine
