// What works with which codec of the KV cache, and what is refused when the program starts. The test walks
// over the whole table, and README.md shows it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace throng::engine {

enum class Feature {
  kPrefixCache,
  kChunkedPrefill,
  kBatch,
  kGqa,
  kSlidingWindow,
  kHead64,
  kHead80,
  kHead96,
  kHead128,
  kHead256,
  kOddHead,
  kSas,
  kFork,
  kSaveAndLoad,
  kSpill,
  kSpillAlone,
};

struct FeatureLine {
  Feature feature;
  const char* name;
  const char* refusal;  // words of the sentence that refuses it with every codec; null: it works with all
};

// A codec for which a line does not hold.
struct FeatureException {
  const char* codec;  // a name of the table
  Feature feature;
  const char* refusal;  // null: works
};

std::span<const FeatureLine> FeatureLines();

// All codecs, as for --kv: those of the table, flashq-mixed, and FlashQ with its other buffer.
std::vector<std::string> FeatureCodecs();

// Null if the feature works with the codec, else words of the sentence that refuses it.
const char* Refusal(std::string_view codec, Feature feature);

// A table with a line for each feature.
std::string FeatureTable();

}  // namespace throng::engine
