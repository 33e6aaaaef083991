// The model of `throng bench engine` and `throng bench throughput`: a file, or random weights in a known
// shape.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/cli11.h"
#include "model/gguf/gguf.h"
#include "model/transformer.h"

namespace throng::cli {

struct BenchModelFlags {
  std::string model;
  std::string shape;
  std::string weights = "q4_0";
  std::string vocabulary = "";  // of the random model, from a GGUF file; empty: none
  std::string device = "cpu";
  std::string kv = "f16";
  std::string softmax = "exact";
  uint64_t kv_budget = 0;
  std::string repack = "auto";
  int threads = 0;
};

// A check that an option names a shape of bench/random_model.h.
CLI::Validator ShapeName();

// Adds all of them but vocabulary; returns the option --shape.
CLI::Option* AddBenchModelFlags(CLI::App& command, BenchModelFlags& flags);

// The file, or the bytes of a random model, and the transformer on it.
struct BenchModel {
  std::vector<uint8_t> bytes;
  std::unique_ptr<model::GgufFile> file;
  std::unique_ptr<model::Transformer> transformer;
};

BenchModel LoadBenchModel(const BenchModelFlags& flags);
// --kv-budget, or its default.
uint64_t KvBudget(const BenchModelFlags& flags, const BenchModel& model);
// The codecs of --kv. Throws kInvalid, before anything is measured, for one that the model's caches cannot
// have.
std::vector<std::string> BenchCodecs(const BenchModelFlags& flags, const BenchModel& model);
// Throw kInvalid.
void CheckWholePages(int tokens, const char* flag);
void CheckContext(int tokens, int depth, const BenchModel& model);

}  // namespace throng::cli
