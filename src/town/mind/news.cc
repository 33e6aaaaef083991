#include "town/mind/news.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "town/content/json_file.h"

namespace throng::town {
namespace {

constexpr size_t kMaxNews = 3;
constexpr int kSightMinutes = 60;
constexpr int kDayMinutes = 24 * 60;
constexpr std::string_view kSaid = " said: ";
constexpr std::string_view kSaw = "You saw ";

bool HasAny(const Words& words, const Words& wanted) {
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](uint64_t word) { return std::binary_search(words.begin(), words.end(), word); });
}

bool HasAll(const Words& words, const Words& wanted) {
  return std::includes(words.begin(), words.end(), wanted.begin(), wanted.end());
}

// Whether it means the same whoever says it to whom.
bool StandsAlone(std::string_view sentence, const Words& words) {
  static const Words kPointers = WordsOf(
      "I me my mine myself you your yours we us our ours he him his she her hers they them their it its this "
      "that these those here");
  return !sentence.ends_with('?') && !HasAny(words, kPointers);
}

// Whether a time that it names has passed on the day on which it was heard.
bool HasPassed(std::string_view sentence, int32_t heard_minute, int32_t now) {
  for (size_t i = 0; i + 5 <= sentence.size(); ++i) {
    const std::optional<int> minute = ParseClock(sentence.substr(i, 5));
    if (minute && heard_minute / kDayMinutes * kDayMinutes + *minute <= now) return true;
  }
  return false;
}

using Told = std::set<std::string, std::less<>>;

void AddSentences(std::string_view text, Told& told) {
  for (const std::string_view sentence : SentencesOf(text)) told.emplace(sentence);
}

Told ToldBetween(const Scene& scene, const std::string& other, const std::vector<Utterance>& talk) {
  Told told;
  const std::string from = other + std::string(kSaid);
  const std::string to = "You said to " + other + ": ";
  for (const Memory* memory : scene.mind.memories.All()) {
    const std::string_view text = memory->text;
    if (text.starts_with(from)) AddSentences(text.substr(from.size()), told);
    if (text.starts_with(to)) AddSentences(text.substr(to.size()), told);
  }
  for (const Utterance& utterance : talk) AddSentences(utterance.text, told);
  return told;
}

// What this memory gives to tell.
std::vector<std::string> StatementsOf(const Memory& memory, int32_t now) {
  const std::string_view text = memory.text;
  std::vector<std::string> statements;
  if (memory.kind == MemoryKind::kSaw && text.starts_with(kSaw) && now - memory.minute <= kSightMinutes) {
    statements.push_back("I" + std::string(text.substr(3)));
  } else if (memory.kind == MemoryKind::kHeard) {
    const size_t said = text.find(kSaid);
    for (const std::string_view sentence :
         SentencesOf(said == std::string_view::npos ? text : text.substr(said + kSaid.size()))) {
      if (StandsAlone(sentence, WordsOf(sentence)) && !HasPassed(sentence, memory.minute, now)) {
        statements.emplace_back(sentence);
      }
    }
  }
  return statements;
}

}  // namespace

std::vector<std::string_view> SentencesOf(std::string_view text) {
  std::vector<std::string_view> sentences;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool mark = text[i] == '.' || text[i] == '!' || text[i] == '?';
    if (!mark || (i + 1 < text.size() && text[i + 1] != ' ')) continue;
    sentences.push_back(text.substr(begin, i + 1 - begin));
    begin = std::min(text.find_first_not_of(' ', i + 1), text.size());
  }
  if (begin < text.size()) sentences.push_back(text.substr(begin));
  return sentences;
}

std::string IntentionText(const Scene& scene) {
  for (const PlanEntry& entry : *scene.mind.plan) {
    if (entry.hour * 60 <= scene.minute % kDayMinutes) continue;
    const std::string where =
        entry.place == scene.content.home ? "home" : "the " + scene.content.places[entry.place].name;
    return fmt::format("I will {} at {} at {:02}:00.", entry.activity, where, entry.hour);
  }
  return "";
}

std::vector<NewsItem> NewsFor(const Scene& scene, const std::string& other,
                              const std::vector<Utterance>& talk) {
  const Told told = ToldBetween(scene, other, talk);
  const Words names[] = {WordsOf(scene.persona.name), WordsOf(other)};
  std::vector<std::tuple<int64_t, uint32_t, std::string, const Memory*>> ranked;
  for (const Memory* memory : scene.mind.memories.All()) {
    for (std::string& statement : StatementsOf(*memory, scene.minute)) {
      const Words words = WordsOf(statement);
      if (told.contains(statement) || HasAll(words, names[0]) || HasAll(words, names[1])) continue;
      const int64_t worth = ScoreOf(*memory, scene.minute, scene.content.settings.recency_half_minutes);
      ranked.emplace_back(worth, memory->id, std::move(statement), memory);
    }
  }
  std::sort(ranked.rbegin(), ranked.rend());
  std::vector<NewsItem> news;
  const auto add = [&](const std::string& statement, const Memory* memory) {
    const auto is_same = [&](const NewsItem& item) { return item.text == statement; };
    if (news.size() < kMaxNews && std::none_of(news.begin(), news.end(), is_same)) {
      news.push_back({statement, memory});
    }
  };
  for (const auto& [worth, id, statement, memory] : ranked) add(statement, memory);
  const std::string intention = IntentionText(scene);
  if (!intention.empty() && !told.contains(intention)) add(intention, nullptr);
  return news;
}

}  // namespace throng::town
