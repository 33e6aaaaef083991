#include "town/import/prose.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <vector>

namespace throng::town {
namespace {

constexpr const char* kRelations =
    "wife|husband|partner|girlfriend|boyfriend|son|daughter|mother|father|parent|child|brother|sister|friend|"
    "housemate|roommate|flatmate|neighbou?r|colleague|co-?worker|classmate|student|teacher|professor|mentor|"
    "boss|"
    "customer|rival";

std::vector<std::string> WordsOf(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    const bool is_letter =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c < 0;
    if (is_letter) words.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (!is_letter && !words.back().empty()) words.emplace_back();
  }
  for (std::string& word : words) {
    if (word.size() > 2 && word.ends_with('s')) word.pop_back();
  }
  std::erase_if(words, [](const std::string& word) { return word.empty() || word == "the"; });
  return words;
}

// As a part of a regular expression.
std::string Quoted(const std::string& text) {
  std::string quoted;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) quoted += '\\';
    quoted += c;
  }
  return quoted;
}

}  // namespace

std::string JobIn(const std::string& text) {
  static const std::regex kPattern(R"(\b(?:is|works as) an? ([^.,;:]{1,60}))");
  std::smatch match;
  if (!std::regex_search(text, match, kPattern)) return "";
  const std::string job = match[1];
  size_t end = job.size();
  for (const char* word : {" who ", " of ", " at ", " in ", " that ", " with ", " and ", " on ", " for "}) {
    end = std::min(end, job.find(word));
  }
  return job.substr(0, end);
}

std::optional<int> HourAfter(const std::string& text, const char* words) {
  const std::regex pattern(
      std::string(words) + R"([^0-9.,;]{0,20}?(?:([0-9]{1,2})(?::[0-9]{2})? ?([ap])\.?m|midnight))",
      std::regex::icase);
  std::smatch match;
  if (!std::regex_search(text, match, pattern)) return std::nullopt;
  if (!match[1].matched) return 0;
  const int hour =
      (match[1].str().size() == 2 ? (match[1].str()[0] - '0') * 10 : 0) + (match[1].str().back() - '0');
  if (hour > 12) return std::nullopt;
  const bool afternoon = match[2].str() == "p" || match[2].str() == "P";
  return hour % 12 + (afternoon ? 12 : 0);
}

std::optional<size_t> FindPlace(const std::string& text, const std::string& place) {
  const std::vector<std::string> words = WordsOf(text);
  const std::vector<std::string> name = WordsOf(place);
  const auto found = std::search(words.begin(), words.end(), name.begin(), name.end());
  if (name.empty() || found == words.end()) return std::nullopt;
  return static_cast<size_t>(found - words.begin());
}

std::string RelationIn(const std::string& text, const std::string& name) {
  if (text.find(name) == std::string::npos) return "";
  const std::string who = Quoted(name);
  // Not "the husband Tom Moreno": that is somebody else's.
  const std::regex before(fmt::format(
      R"(\b(?:your|his|her|their|my|and|with|an?) (?:(?!the )[a-z]+ )?({})s?,? {}\b)", kRelations, who));
  // Not "is a professor": that is no relation.
  const std::regex after(
      fmt::format(R"(\b{} (?:is (?:your|his|her|their|my)|are) (?:[a-z]+ )?({})s?\b)", who, kRelations));
  std::smatch match;
  if (std::regex_search(text, match, before) || std::regex_search(text, match, after)) return match[1];
  return "acquaintance";
}

}  // namespace throng::town
