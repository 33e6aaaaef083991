// The tokens of a model as constraints see them.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace throng::engine {

// The tokens' bytes, in a trie. Immutable, so threads may share it.
class Vocabulary {
 public:
  // bytes[id] is what the token adds to the text, perhaps a part of a code point; empty for tokens that an
  // answer never contains (control tokens). eog_ids end a generation, whatever their bytes.
  Vocabulary(std::span<const std::string> bytes, std::vector<int32_t> eog_ids);

  static constexpr size_t kMaxTokenBytes = 1 << 16;  // longer ones are never allowed

  size_t NumTokens() const { return token_bytes_.size(); }
  size_t MaskWords() const { return (NumTokens() + 63) / 64; }
  const std::string& Bytes(int32_t token) const { return token_bytes_[static_cast<size_t>(token)]; }
  bool IsEndOfGeneration(int32_t token) const;
  std::span<const int32_t> EndsOfGeneration() const { return eog_ids_; }

 private:
  friend class Constraint;

  // Nodes in preorder: a walk continues at the next node, or at `skip` if no text continues with this byte.
  struct Node {
    uint32_t skip;         // first node after the subtree
    uint32_t first_token;  // its tokens: [first_token, the next node's first_token) of the trie's
    uint32_t depth;        // 1 for the first byte of a token
    uint8_t byte;
  };

  struct Trie {
    std::vector<int32_t> tokens;  // ordered by bytes
    std::vector<Node> nodes;      // ends with a sentinel, whose first_token ends the last node's tokens

    uint32_t NumNodes() const { return static_cast<uint32_t>(nodes.size() - 1); }
    // Sets the bits of the tokens that end at a node.
    void Allow(uint32_t node, std::span<uint64_t> mask) const {
      for (uint32_t t = nodes[node].first_token; t < nodes[node + 1].first_token; ++t) {
        const auto token = static_cast<size_t>(tokens[t]);
        mask[token / 64] |= uint64_t{1} << (token & 63);
      }
    }
    // Clears the bits of the tokens that end at a node or below it.
    void Forbid(uint32_t node, std::span<uint64_t> mask) const {
      for (uint32_t t = nodes[node].first_token; t < nodes[nodes[node].skip].first_token; ++t) {
        const auto token = static_cast<size_t>(tokens[t]);
        mask[token / 64] &= ~(uint64_t{1} << (token & 63));
      }
    }
  };
  // Tokens of plain text alone (llm/grammar/program.h): whole characters that JSON strings hold as they are.
  struct PlainText {
    static constexpr uint32_t kCounted = 32;
    std::vector<std::vector<uint64_t>> up_to;  // [n]: a mask of those of up to n <= kCounted characters
    std::vector<std::pair<uint32_t, int32_t>> longer;  // other tokens, with their characters; ordered
    uint32_t most = 0;                                 // characters of a token

    // Sets the mask to those of up to that many characters.
    void Allow(uint32_t characters, std::span<uint64_t> mask) const;
  };
  // Longer tokens are few: where they alone depend on a count that is near, they are walked through by
  // themselves.
  static constexpr uint32_t kShortBytes = 16;

  // Makes the tries, at the first call: only constraints need them. Thread-safe.
  void NeedTrie() const;
  Trie MakeTrie(size_t least_bytes, const std::vector<bool>& left_out) const;
  PlainText FindPlainText(std::vector<bool>& is_text) const;

  std::vector<std::string> token_bytes_;
  std::vector<int32_t> eog_ids_;  // sorted
  // Set by NeedTrie:
  mutable std::once_flag trie_once_;
  mutable Trie all_;     // all tokens with bytes
  mutable Trie longer_;  // those of more than kShortBytes
  mutable PlainText text_;
  mutable Trie plain_;          // of the same
  mutable Trie others_;         // all that are no plain text
  mutable Trie longer_others_;  // those of more than kShortBytes
  mutable uint32_t max_depth_ = 0;
  mutable bool has_byte_[256] = {};  // a token of this single byte exists
};

}  // namespace throng::engine
