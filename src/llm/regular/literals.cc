#include "llm/regular/literals.h"

#include <algorithm>
#include <map>
#include <queue>

#include "base/text/utf8.h"

namespace throng::llm {
namespace {

// A class for each of the characters, and one for all others.
struct Alphabet {
  explicit Alphabet(const std::vector<std::vector<uint32_t>>& words) {
    for (const std::vector<uint32_t>& word : words)
      for (const uint32_t c : word) classes.try_emplace(c, static_cast<uint32_t>(classes.size()));
    sets.resize(classes.size());
    CodePoints known;
    for (const auto& [c, index] : classes) {
      sets[index] = {{c, c}};
      known.emplace_back(c, c);
    }
    others = static_cast<uint32_t>(sets.size());
    sets.push_back(Complement(Normalised(known)));
  }

  std::map<uint32_t, uint32_t> classes;  // by character
  std::vector<CodePoints> sets;
  uint32_t others;
};

}  // namespace

// The automaton of Aho and Corasick without the states in which a literal is complete.
Regular TextsWithout(const std::vector<std::string>& literals) {
  std::vector<std::vector<uint32_t>> words;
  for (const std::string& literal : literals) {
    if (!literal.empty() && ValidUtf8Prefix(literal) == literal.size()) words.push_back(DecodeUtf8(literal));
  }
  const Alphabet alphabet(words);
  struct TrieNode {
    std::map<uint32_t, uint32_t> next;  // by class
    uint32_t fallback = 0;              // the node of the longest end of this one's text
    bool is_end = false;                // a literal is found here
  };
  std::vector<TrieNode> trie(1);
  for (const std::vector<uint32_t>& word : words) {
    uint32_t node = 0;
    for (const uint32_t c : word) {
      const auto [found, is_new] =
          trie[node].next.try_emplace(alphabet.classes.at(c), static_cast<uint32_t>(trie.size()));
      node = found->second;
      if (is_new) trie.emplace_back();
    }
    trie[node].is_end = true;
  }
  const auto step = [&](uint32_t node, uint32_t set) {
    while (true) {
      const auto found = trie[node].next.find(set);
      if (found != trie[node].next.end()) return found->second;
      if (node == 0) return 0u;
      node = trie[node].fallback;
    }
  };
  std::queue<uint32_t> order({0});
  for (; !order.empty(); order.pop()) {
    const uint32_t node = order.front();
    for (const auto& [set, child] : trie[node].next) {
      trie[child].fallback = node == 0 ? 0 : step(trie[node].fallback, set);
      trie[child].is_end |= trie[trie[child].fallback].is_end;
      order.push(child);
    }
  }
  std::vector<Regular::State> states(trie.size());
  for (uint32_t node = 0; node < trie.size(); ++node) {
    states[node].accepts = !trie[node].is_end;
    if (trie[node].is_end) continue;
    for (uint32_t set = 0; set < alphabet.sets.size(); ++set) {
      const uint32_t next = step(node, set);
      if (!trie[next].is_end) states[node].edges.push_back({set, next});
    }
  }
  return Regular(alphabet.sets, std::move(states));
}

Regular TextsNotBeginning(std::string_view literal) {
  std::vector<uint32_t> word = DecodeUtf8(literal);
  const Alphabet alphabet({word, {' ', '\t', '\n', '\r'}});
  const auto size = static_cast<uint32_t>(word.size());
  std::vector<Regular::State> states(size + 1);  // by the matching characters; last: all texts
  for (uint32_t state = 0; state <= size; ++state) {
    states[state].accepts = true;
    for (uint32_t set = 0; set < alphabet.sets.size(); ++set) {
      const bool matches = state < size && alphabet.classes.at(word[state]) == set;
      const CodePoints& chars = alphabet.sets[set];
      const bool is_space =
          chars.size() == 1 && (chars[0].first == ' ' || (chars[0].first >= '\t' && chars[0].first <= '\r'));
      if (matches && state + 1 == size) continue;
      states[state].edges.push_back({set, matches ? state + 1 : state == 0 && is_space ? 0 : size});
    }
  }
  return Regular(alphabet.sets, std::move(states));
}

}  // namespace throng::llm
