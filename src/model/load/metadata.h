// The keys of a file that describe its architecture, checked, and those that nobody read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "model/load/refusals.h"

namespace throng::model {

class GgufFile;

// Reads keys "ARCHITECTURE.KEY" by KEY. All functions throw kCorrupt with one sentence where a value is
// missing, of another kind or out of range.
class Metadata {
 public:
  Metadata(const GgufFile& file, std::string_view architecture, Refusals& refusals);

  const GgufFile& File() const { return file_; }
  bool Has(std::string_view key) const;

  // A whole number from `least` to `most`.
  int Count(std::string_view key, int64_t most, int64_t least = 1) const;
  int CountOr(std::string_view key, int fallback, int64_t most, int64_t least = 1) const;
  // One number for each of `layers` layers: an array of them, or one that holds for all.
  std::vector<int> Counts(std::string_view key, int layers, int64_t most, int64_t least = 1) const;
  std::vector<int> CountsOr(std::string_view key, int fallback, int layers, int64_t most,
                            int64_t least = 1) const;

  // A finite number above 0.
  float Positive(std::string_view key) const;
  float PositiveOr(std::string_view key, double fallback) const;
  // Finite numbers; with may_be_lowest, also minus infinity.
  std::vector<float> Floats(std::string_view key, bool may_be_lowest = false) const;
  // A finite number.
  float NumberOr(std::string_view key, double fallback) const;
  bool BoolOr(std::string_view key, bool fallback) const;
  // One for each layer: an array, or empty if the key is missing or no array.
  std::vector<bool> BoolsOr(std::string_view key, int layers) const;
  std::string_view TextOr(std::string_view key, std::string_view fallback) const;

  // Says that a key does not change what is computed.
  void Ignore(std::string_view key) const { read_.emplace(Name(key)); }
  // Refuses with kUnsupported: the key has a value that is not computed. allowed: "'none' and 'linear'".
  void Refuse(std::string_view key, std::string_view found, std::string_view allowed) const;
  // Refuses with kUnsupported the keys of the architecture that nobody asked for: they could change what is
  // computed.
  void RefuseOthers() const;

  // The keys that were read, but not ignored ones, in the order of the alphabet.
  std::vector<std::string> Read() const;

 private:
  std::string Name(std::string_view key) const { return prefix_ + std::string(key); }
  std::string Use(std::string_view key) const;
  int Bounded(const std::string& name, int64_t value, int64_t most, int64_t least) const;
  float CheckPositive(const std::string& name, double value) const;

  const GgufFile& file_;
  const std::string prefix_;
  Refusals& refusals_;
  mutable std::unordered_set<std::string> read_;
  mutable std::unordered_set<std::string> used_;
};

}  // namespace throng::model
