#include "journal/journal.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/provenance.h"
#include "journal/store/clock.h"
#include "journal/store/inbox.h"
#include "journal/store/later_tables.h"
#include "journal/store/place.h"
#include "journal/store/postgres.h"
#include "journal/store/schema.h"
#include "journal/store/statements.h"

namespace throng::journal {

namespace {

// A transaction of this many rows is closed even if no answer arrives, to bound memory.
constexpr int64_t kMaxRowsPending = 20000;

std::string JsonOf(const Manifest& values) {
  return nlohmann::json(values).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Journal::Journal(const std::string& place, Access access)
    : path_(place), database_(std::make_unique<Database>(place, access)) {}

Journal::~Journal() {
  if (Inbox* const inbox = database_->GetConnection().GetInbox()) inbox->Close();
  try {
    Flush();
    if (new_) database_->GetConnection().Remove();
  } catch (const Error&) {
    // A caller that needs to know of failures has called Flush.
  }
}

bool Journal::Exists(const std::string& place) {
  return IsPostgres(place) ? ExistsInPostgres(ParsePostgres(place)) : std::filesystem::exists(place);
}

std::unique_ptr<Journal> Journal::Create(const std::string& place, const JournalOptions& options) {
  std::unique_ptr<Journal> journal(new Journal(place, Access::kCreate));
  journal->new_ = true;
  journal->sync_always_ = options.sync_always;
  journal->keep_prompts_ = options.keep_prompts;
  Connection& connection = journal->database_->GetConnection();
  connection.UseLog(options.sync_always);
  connection.BeginTables();
  connection.Define(kTables);
  AddLaterTables(connection, "main", false);
  connection.Define(kViews);
  connection.MarkFormat(kFormatVersion);
  connection.Commit();
  journal->statements_ = std::make_unique<Statements>(*journal->database_);
  return journal;
}

std::unique_ptr<Journal> Journal::OpenToWrite(const std::string& place, const JournalOptions& options) {
  std::unique_ptr<Journal> journal(new Journal(place, Access::kWrite));
  journal->sync_always_ = options.sync_always;
  Connection& connection = journal->database_->GetConnection();
  connection.CheckFormat(kFormatVersion);  // before changing anything
  connection.UseLog(options.sync_always);
  AddLaterTables(connection, "main", false);
  journal->ReadManifest();
  journal->statements_ = std::make_unique<Statements>(*journal->database_);
  journal->LookBack();
  return journal;
}

std::unique_ptr<Journal> Journal::OpenToRead(const std::string& place) {
  std::unique_ptr<Journal> journal(new Journal(place, Access::kRead));
  Connection& connection = journal->database_->GetConnection();
  connection.CheckFormat(kFormatVersion);
  AddLaterTables(connection, "main", true);
  journal->ReadManifest();
  journal->statements_ = std::make_unique<Statements>(*journal->database_);
  return journal;
}

void Journal::WaitForDatabase(double max_wait_s, const std::atomic<bool>* stop,
                              std::function<void(const std::string&)> on_wait) {
  database_->GetConnection().SetPatience({max_wait_s, stop, std::move(on_wait)});
}

// Nothing of later steps has to be compared with what is done again.
void Journal::LookBack() {
  const auto number = [&](const char* sql) {
    return static_cast<sim::Step>(std::stoll(database_->TextOf(sql)));
  };
  known_commits_.clear();
  known_steps_ = NumSteps();
  known_commits_end_ = number("SELECT coalesce(max(step), -1) + 1 FROM commits");
  known_data_end_ = number("SELECT coalesce(max(step), -1) + 1 FROM collected");
}

void Journal::ReadManifest() {
  Statement statement(*database_, "SELECT key, value FROM manifest");
  while (statement.Step()) manifest_[statement.Text(0)] = statement.Text(1);
  if (manifest_.empty()) {
    throw MakeError(ErrorCode::kCorrupt,
                    "journal {}: it has no manifest, the run had not begun; remove it and begin again",
                    path_);
  }
  const auto prompts = manifest_.find(JournalKeys::kPrompts);
  keep_prompts_ = prompts == manifest_.end() || prompts->second != "off";
}

const std::string& Journal::ManifestValue(const std::string& key) const {
  const auto it = manifest_.find(key);
  if (it == manifest_.end()) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: its manifest has no {}", path_, key);
  }
  return it->second;
}

void Journal::SetManifest(const std::string& key, const std::string& value) {
  Touch();
  manifest_[key] = value;
  statements_->set_manifest.Bind(key).Bind(value).Run();
}

namespace {

// What must be equal for a run to continue. The mode may change: it affects only time.
Manifest Essentials(const sim::World& world, const sim::RunOptions& options) {
  return {{JournalKeys::kWorld, world.Name()},
          {JournalKeys::kScenario, world.ScenarioDigest().Hex()},
          {JournalKeys::kCoupling, sim::CouplingName(options.coupling)},
          {JournalKeys::kAgents, std::to_string(world.NumAgents())},
          {JournalKeys::kSeed, sim::FormatSeeds({options.seed, options.seed_changes})}};
}

// What a session is: the same keys for the manifest and for the table of sessions.
Manifest SessionValues(const sim::RunOptions& options, const std::string& backend) {
  return {{JournalKeys::kProgram, THRONG_VERSION},
          {JournalKeys::kCommit, SourceCommit()},
          {JournalKeys::kMachine, DescribeMachine()},
          {JournalKeys::kBackend, backend},
          {JournalKeys::kSteps, std::to_string(options.steps)},
          {JournalKeys::kMode, sim::ModeName(options.mode)}};
}

}  // namespace

void Journal::Begin(Manifest manifest, const sim::World& world, const sim::RunOptions& options,
                    const std::string& backend) {
  for (const auto& [key, value] : Essentials(world, options)) manifest[key] = value;
  for (const auto& [key, value] : SessionValues(options, backend)) manifest[key] = value;
  manifest[JournalKeys::kPrompts] = keep_prompts_ ? "on" : "off";
  for (const auto& [key, value] : manifest) SetManifest(key, value);
  changed_ = manifest_;
  WriteStart(world, options.interventions);
  Flush();
  database_->GetConnection().Checkpoint();
  new_ = false;
}

void Journal::AddFile(const std::string& name, int64_t bytes, const Digest& digest,
                      const std::optional<std::string>& content) {
  Statement add(*database_, kAddFile);
  Touch();
  add.Bind(std::string_view(name)).Bind(bytes).Bind(digest);
  if (content.has_value()) {
    add.Bind(std::string_view(*content)).Run();
  } else {
    add.BindNull().Run();
  }
}

void Journal::CheckSame(const sim::World& world, const sim::RunOptions& options, const std::string& backend,
                        bool other_backend) const {
  Manifest wanted = Essentials(world, options);
  if (!other_backend) wanted[JournalKeys::kBackend] = backend;
  for (const auto& [key, value] : wanted) {
    if (ManifestValue(key) != value) {
      throw MakeError(ErrorCode::kInvalid, "journal {}: it was begun with {} {}, and cannot go on with {}{}",
                      path_, key, ManifestValue(key), value,
                      key == JournalKeys::kBackend ? ", unless another backend is asked for" : "");
    }
  }
  const int steps = std::atoi(ManifestValue(JournalKeys::kSteps).c_str());
  if (options.steps < steps) {
    throw MakeError(ErrorCode::kInvalid,
                    "journal {}: its run has {} steps, and cannot go on with {}, allowed: as many or more",
                    path_, steps, options.steps);
  }
}

bool Journal::IsDone(sim::Step steps) const {
  return manifest_.contains(JournalKeys::kHash) &&
         ManifestValue(JournalKeys::kSteps) == std::to_string(steps);
}

void Journal::Continue(const Manifest& parameters, const sim::World& world, const sim::RunOptions& options,
                       const std::string& backend, bool other_backend) {
  CheckSame(world, options, backend, other_backend);
  changed_.clear();
  if (IsDone(options.steps)) return;
  if (std::to_string(options.steps) != ManifestValue(JournalKeys::kSteps)) {
    Touch();
    manifest_.erase(JournalKeys::kHash);
    Statement erase(*database_, "DELETE FROM manifest WHERE key = ?");
    erase.Bind(std::string_view(JournalKeys::kHash)).Run();
  }
  Manifest values = SessionValues(options, backend);
  for (const auto& [key, value] : parameters) values[key] = value;
  for (const auto& [key, value] : values) {
    const auto old = manifest_.find(key);
    if (old != manifest_.end() && old->second == value) continue;
    SetManifest(key, value);
    changed_[key] = value;
  }
  Flush();
}

void Journal::StartSession() {
  const auto value = [this](const char* key) {
    const auto found = manifest_.find(key);
    return found == manifest_.end() ? std::string() : found->second;
  };
  changed_.erase(JournalKeys::kMap);
  Statement statement(*database_, "INSERT INTO sessions VALUES(?, ?, '', '', ?, ?, ?, ?, ?)");
  EndPauses();  // these two: of a program that was killed
  ForgetInFlight();
  LookBack();
  session_ = std::stoll(database_->TextOf("SELECT coalesce(max(id), 0) + 1 FROM sessions"));
  Touch();
  statement.Bind(session_);
  statement.Bind(std::string_view(NowUtc()));
  statement.Bind(
      std::string_view(fmt::format("{} ({})", value(JournalKeys::kProgram), value(JournalKeys::kCommit))));
  statement.Bind(std::string_view(value(JournalKeys::kMachine)));
  statement.Bind(std::string_view(value(JournalKeys::kBackend))).Bind(int64_t{NumSteps()});
  statement.Bind(std::string_view(JsonOf(changed_))).Run();
  changed_.clear();
  Flush();
}

void Journal::EndSession(std::string_view outcome) {
  Statement statement(*database_,
                      "UPDATE sessions SET ended=?, outcome=? WHERE id=(SELECT max(id) FROM sessions)");
  EndPauses();
  ForgetInFlight();
  if (moments_ != nullptr) WriteMoments(moments_->Take());
  moments_.reset();
  Touch();
  statement.Bind(std::string_view(NowUtc())).Bind(outcome).Run();
  Flush();
  session_ = 0;
  LookBack();  // the run may be repeated from this journal without a session
}

void Journal::Touch() {
  if (in_transaction_ && rows_pending_ >= kMaxRowsPending) Flush();
  if (!in_transaction_) {
    database_->GetConnection().Begin();
    in_transaction_ = true;
    rows_pending_ = 0;
  }
  ++rows_pending_;
}

void Journal::Flush() {
  if (Inbox* const inbox = database_->GetConnection().GetInbox()) {
    for (const sim::Intervention& asked : inbox->Take()) {
      Touch();
      Statement(*database_, kAskIntervention)
          .Bind(int64_t{asked.step})
          .Bind(std::string_view(asked.what))
          .Run();
    }
  }
  if (!in_transaction_) return;
  database_->GetConnection().Commit();
  in_transaction_ = false;
}

void Journal::SetHash(const Digest& hash) {
  SetManifest(JournalKeys::kHash, hash.Hex());
  Flush();
}

void Journal::SetTokensInVain(uint64_t prompt, uint64_t output) {
  SetManifest(JournalKeys::kTokensInVain, fmt::format("{},{}", prompt, output));
}

sim::Seeds Journal::GetSeeds() const {
  try {
    return sim::ParseSeeds(ManifestValue(JournalKeys::kSeed));
  } catch (const Error& error) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: {}", path_, error.what());
  }
}

int64_t Journal::Bytes() const { return database_->GetConnection().Bytes(); }

int64_t Journal::NumToolUses() const {
  return std::stoll(database_->TextOf(
      fmt::format("SELECT count(*) FROM intentions WHERE kind = {}", static_cast<int>(llm::Kind::kTool))
          .c_str()));
}

int64_t Journal::NumAnswers() const { return std::stoll(database_->TextOf("SELECT count(*) FROM answers")); }

sim::Step Journal::NumSteps() const {
  return static_cast<sim::Step>(std::stoll(database_->TextOf("SELECT count(*) FROM hashes")));
}

Digest Journal::CanonicalDigest() const {
  Hasher hasher;
  for (const CanonicalQuery& query : kCanonicalQueries) {
    hasher.Add(query.table);
    Statement statement(*database_, query.sql);
    while (statement.Step()) {
      for (int column = 0; column < query.columns; ++column) hasher.Add(statement.Text(column));
    }
  }
  return hasher.Finish();
}

}  // namespace throng::journal
