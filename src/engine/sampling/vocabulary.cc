#include "engine/sampling/vocabulary.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/text/utf8.h"

namespace throng::engine {
namespace {

// The characters of a text that is plain; nothing for others.
std::optional<uint32_t> PlainCharacters(const std::string& text) {
  uint32_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) {
    const Utf8Step step = NextUtf8(std::string_view(text).substr(i));
    if (step.kind != Utf8Step::kValid || step.value < 0x20 || step.value == '"' || step.value == '\\')
      return std::nullopt;
    i += step.length;
  }
  return count;
}

}  // namespace

Vocabulary::Vocabulary(std::span<const std::string> bytes, std::vector<int32_t> eog_ids)
    : token_bytes_(bytes.begin(), bytes.end()), eog_ids_(std::move(eog_ids)) {
  std::sort(eog_ids_.begin(), eog_ids_.end());
  eog_ids_.erase(std::unique(eog_ids_.begin(), eog_ids_.end()), eog_ids_.end());
  for (const int32_t id : eog_ids_) {
    if (id < 0 || static_cast<size_t>(id) >= bytes.size()) {
      throw MakeError(ErrorCode::kInvalid,
                      "vocabulary: the end-of-generation token {} is not among {} tokens", id, bytes.size());
    }
  }
}

bool Vocabulary::IsEndOfGeneration(int32_t token) const {
  return std::binary_search(eog_ids_.begin(), eog_ids_.end(), token);
}

void Vocabulary::NeedTrie() const {
  std::call_once(trie_once_, [this] {
    std::vector<bool> is_text(NumTokens());
    all_ = MakeTrie(1, is_text);
    longer_ = MakeTrie(kShortBytes + 1, is_text);
    text_ = FindPlainText(is_text);
    others_ = MakeTrie(1, is_text);
    longer_others_ = MakeTrie(kShortBytes + 1, is_text);
    is_text.flip();
    plain_ = MakeTrie(1, is_text);
    for (const int32_t token : all_.tokens) {
      const std::string& text = Bytes(token);
      if (text.size() == 1) has_byte_[static_cast<uint8_t>(text[0])] = true;
      max_depth_ = std::max(max_depth_, static_cast<uint32_t>(text.size()));
    }
  });
}

// Sets is_text for the tokens that it has.
Vocabulary::PlainText Vocabulary::FindPlainText(std::vector<bool>& is_text) const {
  PlainText text;
  text.up_to.assign(PlainText::kCounted + 1, std::vector<uint64_t>(MaskWords()));
  for (const int32_t token : all_.tokens) {
    const std::optional<uint32_t> characters = PlainCharacters(Bytes(token));
    if (!characters) continue;
    is_text[static_cast<size_t>(token)] = true;
    text.most = std::max(text.most, *characters);
    if (*characters > PlainText::kCounted) {
      text.longer.emplace_back(*characters, token);
      continue;
    }
    for (uint32_t n = *characters; n <= PlainText::kCounted; ++n)
      text.up_to[n][static_cast<size_t>(token) / 64] |= uint64_t{1} << (token & 63);
  }
  std::sort(text.longer.begin(), text.longer.end());
  return text;
}

void Vocabulary::PlainText::Allow(uint32_t characters, std::span<uint64_t> mask) const {
  const std::vector<uint64_t>& counted = up_to[std::min(characters, kCounted)];
  std::copy(counted.begin(), counted.end(), mask.begin());
  for (const auto& [length, token] : longer) {
    if (length > characters) break;
    mask[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token & 63);
  }
}

// Of the tokens with at least that many bytes.
Vocabulary::Trie Vocabulary::MakeTrie(size_t least_bytes, const std::vector<bool>& left_out) const {
  Trie trie;
  std::vector<int32_t>& sorted_tokens = trie.tokens;
  std::vector<Node>& nodes = trie.nodes;
  for (size_t token = 0; token < token_bytes_.size(); ++token) {
    const std::string& text = token_bytes_[token];
    if (text.size() < least_bytes || text.size() > kMaxTokenBytes ||
        IsEndOfGeneration(static_cast<int32_t>(token)) || left_out[token])
      continue;
    sorted_tokens.push_back(static_cast<int32_t>(token));
  }
  std::sort(sorted_tokens.begin(), sorted_tokens.end(), [&](int32_t a, int32_t b) {
    const int order = Bytes(a).compare(Bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<uint32_t> open;  // the nodes on the path to the previous token
  const auto close = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back())
      nodes[open.back()].skip = static_cast<uint32_t>(nodes.size());
  };
  const std::string* previous = nullptr;
  for (size_t i = 0; i < sorted_tokens.size(); ++i) {
    const std::string& text = Bytes(sorted_tokens[i]);
    size_t shared = 0;
    if (previous != nullptr) {
      shared = static_cast<size_t>(
          std::mismatch(text.begin(), text.end(), previous->begin(), previous->end()).first - text.begin());
    }
    if (shared == text.size() && previous != nullptr && previous->size() == text.size())
      continue;  // the same bytes
    close(shared);
    for (size_t depth = shared + 1; depth <= text.size(); ++depth) {
      open.push_back(static_cast<uint32_t>(nodes.size()));
      nodes.push_back(
          {0, static_cast<uint32_t>(i), static_cast<uint32_t>(depth), static_cast<uint8_t>(text[depth - 1])});
    }
    previous = &text;
  }
  close(0);
  const auto end = static_cast<uint32_t>(nodes.size());
  nodes.push_back({end, static_cast<uint32_t>(sorted_tokens.size()), 0, 0});
  return trie;
}

}  // namespace throng::engine
