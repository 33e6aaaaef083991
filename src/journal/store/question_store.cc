#include "journal/store/question_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

#include "journal/store/schema.h"

namespace throng::journal {

namespace {

constexpr size_t kMaxIds = size_t{1} << 20;  // per table: about 60 MB

// Within a long line: at least kMinPart bytes, then wherever kCutBits bits of the rolling hash are 0, every
// 128 bytes on average.
constexpr size_t kLongLine = 256;
constexpr size_t kMinPart = 64;
constexpr int kCutBits = 7;

// A random number per byte, for a rolling hash that depends on the last 64 bytes.
constexpr std::array<uint64_t, 256> MakeGears() {
  std::array<uint64_t, 256> gears{};
  uint64_t state = 0;
  for (uint64_t& gear : gears) {  // SplitMix64
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    gear = z ^ (z >> 31);
  }
  return gears;
}
constexpr std::array<uint64_t, 256> kGears = MakeGears();

bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

void CutLine(std::string_view line, std::vector<std::string_view>& parts) {
  size_t begin = 0;
  if (line.size() >= kLongLine) {
    uint64_t hash = 0;
    for (size_t i = 0; i < line.size(); ++i) {
      if (i - begin >= kMinPart && hash >> (64 - kCutBits) == 0 && BeginsCharacter(line[i])) {
        parts.push_back(line.substr(begin, i - begin));
        begin = i;
      }
      hash = (hash << 1) + kGears[static_cast<unsigned char>(line[i])];
    }
  }
  if (begin < line.size()) parts.push_back(line.substr(begin));
}

// 0.8f as 0.8, not as 0.800000011920929.
double Shortest(float value) { return std::stod(fmt::format("{}", value)); }

std::string JsonList(const std::vector<std::string>& texts) {
  return nlohmann::json(texts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void BindTextOrNull(Statement& statement, const std::string& text) {
  if (text.empty()) {
    statement.BindNull();
  } else {
    statement.Bind(std::string_view(text));
  }
}

}  // namespace

std::vector<std::string_view> CutIntoParts(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline == std::string_view::npos ? newline : newline + 1);
    CutLine(line, parts);
    text.remove_prefix(line.size());
  }
  return parts;
}

void QuestionStore::Ids::Remember(const Digest& digest, int64_t id) {
  if (ids_.size() >= kMaxIds) {
    ids_.clear();
    digests_.clear();
  }
  if (digests_.empty()) first_ = id;
  digests_.resize(static_cast<size_t>(id - first_) + 1);  // the parts of a fork have gaps
  digests_.back() = digest;
  ids_.emplace(digest, id);
}

std::pair<int64_t, bool> QuestionStore::Ids::Get(const Digest& digest, int64_t likely) {
  const int64_t at = likely - first_;
  if (at >= 0 && at < static_cast<int64_t>(digests_.size()) && digests_[static_cast<size_t>(at)] == digest) {
    return {likely, false};
  }
  const auto found = ids_.find(digest);
  if (found != ids_.end()) return {found->second, false};
  Remember(digest, ++last_);
  return {last_, true};
}

void QuestionStore::Ids::Put(const Digest& digest, int64_t id) {
  StartAfter(id);
  Remember(digest, id);
}

QuestionStore::QuestionStore(Database& database)
    : database_(database),
      add_part_(database, kAddPart),
      add_settings_(database, kAddSettings),
      add_constraint_(database, kAddConstraint),
      add_server_(database, kAddServer) {}

// What earlier sessions stored; only once something is to be added, as most journals are opened to be read.
void QuestionStore::Load() {
  loaded_ = true;
  const auto load = [&](const std::string& sql, Ids& ids) {
    Statement row(database_, sql.c_str());
    while (row.Step()) ids.Put(hasher_.Reset().Add(row.Text(1)).Finish(), row.Int(0));
  };
  load(fmt::format("SELECT id, text FROM parts WHERE id > (SELECT max(id) FROM parts) - {} ORDER BY id",
                   kMaxIds),
       parts_);
  load("SELECT id, name FROM servers ORDER BY id", servers_);
  // Settings are few: each session adds its own.
  settings_.StartAfter(std::stoll(database_.TextOf("SELECT coalesce(max(id), 0) FROM settings")));
}

std::string QuestionStore::ListParts(std::string_view text) {
  if (text.empty()) return {};
  if (!loaded_) Load();
  std::string list = "[";
  int64_t first = 0;  // of the run
  int64_t last = -1;
  const auto end_run = [&] {
    if (first > 0) fmt::format_to(std::back_inserter(list), "{},", kMaxRun * first + last - first);
  };
  for (const std::string_view part : CutIntoParts(text)) {
    const auto [id, is_new] = parts_.Get(hasher_.Reset().Add(part).Finish(), last + 1);
    if (is_new) add_part_.Bind(id).Bind(part).Run();
    if (id != last + 1 || last - first + 1 >= kMaxRun) {
      end_run();
      first = id;
    }
    last = id;
  }
  end_run();
  list.back() = ']';
  return list;
}

int64_t QuestionStore::SettingsOf(const llm::Request& request) {
  if (!loaded_) Load();
  const llm::Sampling& sampling = request.sampling;
  hasher_.Reset().Add(request.constraint.json_schema).Add(uint64_t{request.constraint.choices.size()});
  for (const std::string& choice : request.constraint.choices) hasher_.Add(choice);
  hasher_.Add(request.constraint.grammar).Add(request.constraint.regex);
  for (const std::string& stop : request.stop) hasher_.Add(stop);
  hasher_.Add(sampling.temperature).Add(sampling.top_k).Add(sampling.top_p).Add(sampling.min_p);
  hasher_.Add(sampling.repetition_penalty).Add(sampling.seed).Add(request.max_tokens);
  const auto [id, is_new] = settings_.Get(hasher_.Finish());
  if (is_new) AddSettings(id, request);
  return id;
}

void QuestionStore::AddSettings(int64_t id, const llm::Request& request) {
  const llm::Sampling& sampling = request.sampling;
  const std::vector<std::string>& choices = request.constraint.choices;
  add_settings_.Bind(id);
  BindTextOrNull(add_settings_, choices.empty() ? "" : JsonList(choices));
  BindTextOrNull(add_settings_, request.constraint.json_schema);
  add_settings_.Bind(Shortest(sampling.temperature)).Bind(int64_t{sampling.top_k});
  add_settings_.Bind(Shortest(sampling.top_p)).Bind(Shortest(sampling.min_p));
  add_settings_.Bind(Shortest(sampling.repetition_penalty));
  if (sampling.seed <= uint64_t{INT64_MAX}) {
    add_settings_.Bind(static_cast<int64_t>(sampling.seed));
  } else {
    add_settings_.Bind(std::string_view(std::to_string(sampling.seed)));
  }
  BindTextOrNull(add_settings_, request.stop.empty() ? "" : JsonList(request.stop));
  add_settings_.Bind(int64_t{request.max_tokens}).Run();
  const llm::Constraint& constraint = request.constraint;
  if (constraint.grammar.empty() && constraint.regex.empty()) return;
  add_constraint_.Bind(id);
  BindTextOrNull(add_constraint_, constraint.grammar);
  BindTextOrNull(add_constraint_, constraint.regex);
  add_constraint_.Run();
}

int64_t QuestionStore::ServerOf(const std::string& name) {
  if (!loaded_) Load();
  const auto [id, is_new] = servers_.Get(hasher_.Reset().Add(name).Finish());
  if (is_new) add_server_.Bind(id).Bind(std::string_view(name)).Run();
  return id;
}

}  // namespace throng::journal
