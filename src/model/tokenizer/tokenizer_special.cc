#include "model/tokenizer/tokenizer_special.h"

#include <algorithm>

namespace throng::model {

SpecialTokens::SpecialTokens(const TokenizerData& data) : nodes_(1) {
  for (int32_t id = 0; id < static_cast<int32_t>(data.tokens.size()); ++id) {
    const TokenType type = data.types[id];
    const std::string& name = data.tokens[id];
    if (name.empty()) continue;
    if (type == TokenType::kUserDefined) Add(name, {id, false, false});
    if (type == TokenType::kControl || type == TokenType::kUnknown) {
      const bool frames_chat = name.starts_with("<|") && name != "<|endoftext|>";
      Add(name, {id, true, data.strip_right_of_control && frames_chat});
    }
  }
}

void SpecialTokens::Add(std::string_view name, Node leaf) {
  starts_[static_cast<uint8_t>(name[0])] = true;
  uint32_t node = 0;
  for (const char c : name) {
    const auto [edge, is_new] = edges_.try_emplace(Edge(node, c), static_cast<uint32_t>(nodes_.size()));
    if (is_new) nodes_.emplace_back();
    node = edge->second;
  }
  if (nodes_[node].id < 0) nodes_[node] = leaf;  // the first of equal names
}

std::optional<SpecialTokens::Hit> SpecialTokens::Next(std::string_view text, size_t pos,
                                                      std::span<const TextRange> trusted) const {
  for (; pos < text.size(); ++pos) {
    if (!starts_[static_cast<uint8_t>(text[pos])]) continue;
    while (!trusted.empty() && trusted.front().end <= pos) trusted = trusted.subspan(1);
    const size_t trusted_end = !trusted.empty() && trusted.front().begin <= pos ? trusted.front().end : 0;
    std::optional<Hit> hit;
    bool strips = false;
    uint32_t node = 0;
    for (size_t end = pos; end < text.size();) {
      const auto edge = edges_.find(Edge(node, text[end]));
      if (edge == edges_.end()) break;
      node = edge->second;
      ++end;
      if (nodes_[node].id < 0 || (nodes_[node].is_control && end > trusted_end)) continue;
      hit = Hit{pos, end, nodes_[node].id};
      strips = nodes_[node].strips_right;
    }
    if (!hit) continue;
    if (strips) hit->end = std::min(text.find_first_not_of(" \t\n\v\f\r", hit->end), text.size());
    return hit;
  }
  return std::nullopt;
}

}  // namespace throng::model
