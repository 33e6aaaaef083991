// Finds the tokens that are recognised by name in a text before it is split and merged.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace throng::model {

struct TextRange {
  size_t begin, end;
};

class SpecialTokens {
 public:
  struct Hit {
    size_t begin, end;  // end includes the white space that belongs to the token
    int32_t id;
  };

  explicit SpecialTokens(const TokenizerData& data);

  // Returns the first hit at or after pos, the longest if several begin there: user-defined tokens anywhere,
  // control tokens within one of the trusted ranges (ascending).
  std::optional<Hit> Next(std::string_view text, size_t pos, std::span<const TextRange> trusted) const;

 private:
  struct Node {
    int32_t id = -1;
    bool is_control = false;
    bool strips_right = false;
  };

  void Add(std::string_view name, Node leaf);
  static uint64_t Edge(uint32_t node, char c) { return uint64_t{node} << 8 | static_cast<uint8_t>(c); }

  std::array<bool, 256> starts_{};  // first bytes of names
  std::vector<Node> nodes_;         // a tree of prefixes; nodes_[0] is the root
  std::unordered_map<uint64_t, uint32_t> edges_;
};

}  // namespace throng::model
