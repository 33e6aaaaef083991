#include "journal/read/search.h"

#include <algorithm>
#include <cctype>

#include "journal/store/database.h"

namespace throng::journal {

namespace {

constexpr size_t kBytesAround = 60;  // of an excerpt, on each side of what was found

char LowerCase(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Of SQL's LIKE, in lower case as the texts that it is compared with (LIKE means either case in SQLite
// alone), with \ before characters that mean something there.
std::string PatternOf(std::string_view text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += LowerCase(c);
  }
  return pattern + '%';
}

bool IsInsideCharacter(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

std::string ExcerptOf(std::string_view text, std::string_view part) {
  const auto found = std::search(text.begin(), text.end(), part.begin(), part.end(),
                                 [](char a, char b) { return LowerCase(a) == LowerCase(b); });
  const auto at = static_cast<size_t>(found - text.begin());
  size_t begin = at - std::min(at, kBytesAround);
  size_t end = std::min(text.size(), at + part.size() + kBytesAround);
  while (IsInsideCharacter(text, begin)) ++begin;
  while (IsInsideCharacter(text, end)) ++end;
  std::string excerpt = begin > 0 ? "…" : "";
  excerpt += text.substr(begin, end - begin);
  return end < text.size() ? excerpt + "…" : excerpt;
}

}  // namespace

std::vector<Hit> Find(const Journal& journal, std::string_view text, int64_t most) {
  std::vector<Hit> hits;
  const std::string pattern = PatternOf(text);
  Statement event(journal.GetDatabase(),
                  "SELECT step, agent, kind, text FROM chronicle WHERE lower(text) LIKE ? ESCAPE '\\' "
                  "ORDER BY step, agent, seq LIMIT ?");
  event.Bind(std::string_view(pattern)).Bind(most);
  while (event.Step()) {
    hits.push_back({event.Int(0), event.Int(1), {}, event.Text(2), ExcerptOf(event.Text(3), text)});
  }
  // `said` is null unless the text is in the answer.
  Statement call(
      journal.GetDatabase(),
      "SELECT step, agent, call, function, said, prompt FROM (SELECT step, agent, call, function, "
      "prompt, CASE WHEN lower(coalesce(answer, error)) LIKE ?1 ESCAPE '\\' THEN coalesce(answer, error) "
      "END AS said FROM calls) AS found WHERE said IS NOT NULL OR lower(prompt) LIKE ?1 ESCAPE '\\' "
      "ORDER BY step, agent, call LIMIT ?2");
  call.Bind(std::string_view(pattern)).Bind(most);
  while (call.Step()) {
    const std::string source = call.IsNull(4) ? call.Text(5) : call.Text(4);
    hits.push_back({call.Int(0), call.Int(1), call.Int(2), call.Text(3), ExcerptOf(source, text)});
  }
  return hits;
}

}  // namespace throng::journal
