#include "app/record/citation.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <vector>

#include "app/record/manifest.h"
#include "base/text/human_bytes.h"
#include "journal/read/reader.h"
#include "journal/read/report.h"

namespace throng::app {

namespace {

std::string ValueOr(const journal::Journal& journal, const char* key, const std::string& fallback) {
  const auto found = journal.GetManifest().find(key);
  return found == journal.GetManifest().end() || found->second.empty() ? fallback : found->second;
}

std::string DateOf(const std::string& utc) { return utc.substr(0, utc.find('T')); }

// "2025-01-31", or "from 2025-01-31 to 2025-02-01, in 3 sessions".
std::string DatesOf(const std::vector<journal::SessionRow>& sessions) {
  if (sessions.empty()) return "on an unknown date";
  const std::string first = DateOf(sessions.front().started);
  const std::string last =
      DateOf(sessions.back().ended.empty() ? sessions.back().started : sessions.back().ended);
  std::string text = first == last ? "on " + first : fmt::format("from {} to {}", first, last);
  if (sessions.size() > 1) text += fmt::format(", in {} sessions", sessions.size());
  return text;
}

// Each backend that answered, in the order of the sessions, with the step from which on.
std::string BackendsOf(const journal::Journal& journal, const std::vector<journal::SessionRow>& sessions) {
  std::vector<std::string> backends;
  const std::string* last = nullptr;
  for (const journal::SessionRow& session : sessions) {
    if (last != nullptr && *last == session.backend) continue;
    backends.push_back(last == nullptr
                           ? session.backend
                           : fmt::format("{} from step {} on", session.backend, session.first_step));
    last = &session.backend;
  }
  if (backends.empty()) return ValueOr(journal, journal::JournalKeys::kBackend, "an unknown backend");
  return fmt::format("{}", fmt::join(backends, "; "));
}

// Of a world that this program cannot load: ", written in Python, class a.B of its file (XXH3-128 ...), made
// with ...".
std::string ForeignWorldOf(const journal::Journal& journal) {
  using Keys = ForeignWorldKeys;
  const std::string language = ValueOr(journal, journal::JournalKeys::kLanguage, "");
  if (language.empty()) return "";
  std::string text = fmt::format(", written in {}", language);
  if (const std::string name = ValueOr(journal, Keys::kClass, ""); !name.empty()) text += ", class " + name;
  if (const std::string source = ValueOr(journal, Keys::kSource, ""); !source.empty()) {
    text += fmt::format(" of {} (XXH3-128 {})", std::filesystem::path(source).filename().string(),
                        ValueOr(journal, Keys::kSourceDigest, "unknown"));
  }
  if (const std::string made = ValueOr(journal, Keys::kParameters, ""); !made.empty()) {
    text += ", made with " + made;
  }
  return text;
}

}  // namespace

std::string Cite(const journal::Journal& journal) {
  using Keys = journal::JournalKeys;
  const journal::Reader reader(journal);
  const std::vector<journal::SessionRow> sessions = reader.Sessions();
  const journal::TokenSums tokens = reader.Tokens();
  const std::string version = ValueOr(journal, Keys::kProgram, "of an unknown version");
  const std::string commit = ValueOr(journal, Keys::kCommit, "unknown");
  const std::string hash = ValueOr(journal, Keys::kHash, "");
  std::string text;
  const auto add = [&text]<typename... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
  };
  add("The run was made with Throng {} (commit {}) {}, on {}. ", version, commit, DatesOf(sessions),
      ValueOr(journal, Keys::kMachine, "an unknown machine"));
  add("World {} (scenario digest {}{}) with {} agents, {} steps{}, seed {}, mode {}, coupling {}. ",
      journal.ManifestValue(Keys::kWorld), journal.ManifestValue(Keys::kScenario), ForeignWorldOf(journal),
      journal.ManifestValue(Keys::kAgents), journal.NumSteps(),
      hash.empty() ? fmt::format(" done of {}", journal.ManifestValue(Keys::kSteps)) : "",
      journal.ManifestValue(Keys::kSeed), ValueOr(journal, Keys::kMode, "unknown"),
      journal.ManifestValue(Keys::kCoupling));
  add("Calls were answered by {}", BackendsOf(journal, sessions));
  for (const journal::FileRow& file : reader.Files()) {
    if (file.has_content) continue;
    add("; {}, {} ({} bytes), XXH3-128 {}", std::filesystem::path(file.name).filename().string(),
        HumanBytes(static_cast<double>(file.bytes)), file.bytes, file.digest);
  }
  const std::vector<std::string> servers = reader.Servers();
  if (!servers.empty()) add("; the servers call themselves {}", fmt::join(servers, ", "));
  add(". {} calls used {} tokens of prompts and {} of answers. ", journal.NumAnswers(), tokens.prompt,
      tokens.output);
  if (hash.empty()) {
    add("The run is not complete.\n");
  } else {
    add("The hash of the run is {}; every mode of execution leaves the same.\n", hash);
  }
  const std::string year = sessions.empty() ? "" : sessions.front().started.substr(0, 4);
  add("\n@misc{{throng-{},\n", hash.empty() ? "run" : hash.substr(0, 8));
  add("  title = {{Run of the world {} in Throng {}}},\n", journal.ManifestValue(Keys::kWorld), version);
  if (!year.empty()) add("  year = {{{}}},\n", year);
  add("  note = {{commit {}, seed {}, {} agents, {} steps, {} calls, backend {}, hash {}}}\n}}\n", commit,
      journal.ManifestValue(Keys::kSeed), journal.ManifestValue(Keys::kAgents), journal.NumSteps(),
      journal.NumAnswers(), ValueOr(journal, Keys::kBackend, "unknown"), hash.empty() ? "none yet" : hash);
  return text;
}

}  // namespace throng::app
