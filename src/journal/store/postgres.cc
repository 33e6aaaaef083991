#include "journal/store/postgres.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "journal/store/postgres_connection.h"
#include "journal/store/postgres_statement.h"
#include "journal/store/schema.h"

namespace throng::journal {

namespace {

using std::chrono::steady_clock;

constexpr auto kFirstPause = std::chrono::milliseconds(100);  // between attempts to reach the database again
constexpr auto kLongestPause = std::chrono::milliseconds(2000);
// Writes that wait until the server gets them, those to one table as one command: it is done with most when
// the answer arrives that is committed with them.
constexpr size_t kSentAhead = 256;
// A longer row is a command of its own, in which bytes need not be spelled out.
constexpr size_t kLongRow = size_t{64} << 10;

// A commit that waits for the server's disk takes milliseconds, and most do not: what they wrote is kept here
// until a later one has waited, at the latest after this time, or so many bytes.
constexpr auto kLongestUnsure = std::chrono::milliseconds(200);
constexpr size_t kMaxUnsureBytes = size_t{64} << 20;

// What the comment on the schema of a journal says.
constexpr std::string_view kMark = "throng journal, format ";

std::string RandomToken() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

// Who writes the journal, and how many transactions that session has committed: whether the last one was, if
// the connection broke before the server said so. The lock belongs to a connection and ends with it.
constexpr const char* kCreateWriter =
    "CREATE TABLE writer(session TEXT NOT NULL, transactions BIGINT NOT NULL)";

}  // namespace

PostgresConnection::PostgresConnection(const PostgresPlace& place, Access access)
    : place_(place.place), name_(place.name), access_(access), token_(RandomToken()), session_(place) {
  try {
    session_.Open();
    if (access == Access::kCreate) return;
    if (!Exists()) {
      throw MakeError(ErrorCode::kIo, "journal {}: the database has no journal {}", place_, name_);
    }
    if (access == Access::kBeside) WaitForOthersBeside();
    if (access == Access::kWrite && !TryLock()) {
      throw MakeError(ErrorCode::kUnavailable, "journal {}: another running program writes it", place_);
    }
  } catch (const ConnectionLost& lost) {
    throw MakeError(ErrorCode::kIo, "journal {}: the database cannot be reached: {}", place_, lost.why);
  }
}

std::string PostgresConnection::TextOf(const std::string& sql) {
  const PostgresResult row = Query(PlanOf(sql), {});
  return PQntuples(row.get()) > 0 ? PQgetvalue(row.get(), 0, 0) : std::string();
}

bool PostgresConnection::Exists() {
  return !TextOf(fmt::format("SELECT 1 FROM pg_namespace WHERE nspname = '{}'", name_)).empty();
}

// For as long as the connection lasts. The two numbers are 32 bits each: what for, and which journal.
PostgresResult PostgresConnection::Lock(std::string_view function, int32_t purpose) {
  session_.Send(
      fmt::format("SELECT {}({}, (oid::bigint - 2147483648)::integer) FROM pg_namespace "
                  "WHERE nspname = '{}'",
                  function, purpose, name_));
  return session_.Sync();
}

bool PostgresConnection::TryLock() {
  const PostgresResult row = Lock("pg_try_advisory_lock", kApplicationId);
  return PQntuples(row.get()) == 1 && PQgetvalue(row.get(), 0, 0)[0] == 't';
}

// As SQLite's file lock does: whoever writes for the writer computes rows from those that are there, such as
// the number of the next event.
void PostgresConnection::WaitForOthersBeside() { Lock("pg_advisory_lock", kApplicationId + 1); }

template <typename Work>
auto PostgresConnection::Persist(const Work& work) {
  while (true) {
    std::string why;
    try {
      if (!session_.IsOpen()) Connect();
      if constexpr (std::is_void_v<decltype(work())>) {
        work();
        away_since_.reset();
        return;
      } else {
        auto result = work();
        away_since_.reset();
        return result;
      }
    } catch (const ConnectionLost& lost) {
      why = lost.why;
    }
    Wait(why);
  }
}

void PostgresConnection::Connect() {
  is_begun_ = false;
  num_sent_ = 0;
  session_.Open();
  if (!is_writer_) return;
  if (!TryLock()) {
    session_.Close();
    throw ConnectionLost{"the connection before still has the journal's lock, or another program does"};
  }
  session_.Send("SELECT session, transactions FROM writer");
  const PostgresResult row = session_.Sync();
  if (PQntuples(row.get()) != 1 || PQgetvalue(row.get(), 0, 0) != token_) {
    session_.Close();
    throw MakeError(ErrorCode::kUnavailable, "journal {}: another program has gone on with it meanwhile",
                    place_);
  }
  known_transactions_ = std::strtoll(PQgetvalue(row.get(), 0, 1), nullptr, 10);
  SendAgain();
}

// What the server had confirmed and has lost: when it crashed, or when another one took its place.
void PostgresConnection::SendAgain() {
  const int64_t first = unsure_.empty() ? open_.number : unsure_.front().number;
  if (known_transactions_ < first - 1) {
    session_.Close();
    throw MakeError(
        ErrorCode::kCorrupt,
        "journal {}: the database has lost what it had said to be on its disk, {} transactions; what "
        "is left can be resumed",
        place_, first - 1 - known_transactions_);
  }
  for (const Transaction& lost : unsure_) {
    if (lost.number <= known_transactions_) continue;
    session_.Send("BEGIN");
    SendWritten(lost.written);
    SendCommit(lost.number, true);
    known_transactions_ = lost.number;
  }
}

// Once patience has ended, nothing is waited for any more: whoever closes the journal need not be, too.
void PostgresConnection::Wait(const std::string& why) {
  const auto now = steady_clock::now();
  if (patience_.max_wait_s <= 0) {
    throw MakeError(ErrorCode::kUnavailable, "journal {}: the database is away: {}", place_, why);
  }
  if (!away_since_.has_value()) {
    away_since_ = now;
    const std::string waits = fmt::format("journal {}: the database is away ({}), for at most {} s", place_,
                                          why, patience_.max_wait_s);
    patience_.on_wait ? patience_.on_wait(waits) : spdlog::warn("{}", waits);
  }
  const std::chrono::duration<double> away = now - *away_since_;
  if (away.count() >= patience_.max_wait_s) {
    patience_.max_wait_s = 0;
    throw MakeError(ErrorCode::kUnavailable, "journal {}: the database has been away for {:.0f} s: {}",
                    place_, away.count(), why);
  }
  const std::chrono::duration<double> left(patience_.max_wait_s - away.count());
  const auto pause = std::clamp<steady_clock::duration>(now - *away_since_, kFirstPause, kLongestPause);
  const auto until = now + std::min(pause, std::chrono::duration_cast<steady_clock::duration>(left));
  while (steady_clock::now() < until) {
    if (patience_.stop != nullptr && *patience_.stop) {
      patience_.max_wait_s = 0;
      throw MakeError(ErrorCode::kCancelled, "journal {}: stopped while the database was away: {}", place_,
                      why);
    }
    std::this_thread::sleep_for(kFirstPause);
  }
}

void PostgresConnection::SendTransaction() {
  if (!in_transaction_) return;
  if (!is_begun_) session_.Send("BEGIN");
  is_begun_ = true;
  SendWritten(std::span(open_.written).subspan(num_sent_));
  num_sent_ = open_.written.size();
}

// Rows that are only added may change places with those of other tables: nothing is seen of a transaction
// before its end.
void PostgresConnection::SendWritten(std::span<const Written> written) {
  std::vector<std::pair<Plan*, std::vector<const std::vector<SqlValue>*>>> added;
  const auto send_added = [&] {
    for (const auto& [plan, rows] : added) {
      rows.size() == 1 ? session_.Send(*plan, *rows[0]) : session_.SendRows(*plan, rows);
    }
    added.clear();
  };
  for (const Written& each : written) {
    session_.Describe(*each.plan);
    if (each.plan->many_rows == nullptr || each.bytes > kLongRow) {
      send_added();
      session_.Send(*each.plan, each.values);
      continue;
    }
    auto of_plan =
        std::find_if(added.begin(), added.end(), [&](const auto& one) { return one.first == each.plan; });
    if (of_plan == added.end()) of_plan = added.insert(added.end(), {each.plan, {}});
    of_plan->second.push_back(&each.values);
  }
  send_added();
}

void PostgresConnection::SendCommit(int64_t number, bool waits_for_disk) {
  session_.Send(fmt::format("UPDATE writer SET transactions = {}", number));
  if (!waits_for_disk) session_.Send("SET LOCAL synchronous_commit = off");
  session_.Send("COMMIT");
  session_.Sync();
}

void PostgresConnection::Commit() {
  if (!is_writer_) return Execute("COMMIT");
  const auto now = steady_clock::now();
  const bool waits_for_disk =
      syncs_always_ || now - last_sync_ >= kLongestUnsure || unsure_bytes_ + open_.bytes > kMaxUnsureBytes;
  Persist([&] {
    if (known_transactions_ == open_.number) return;  // the connection broke after it was committed
    SendTransaction();
    SendCommit(open_.number, waits_for_disk);
  });
  const int64_t number = open_.number;
  unsure_bytes_ += open_.bytes;
  unsure_.push_back(std::exchange(open_, {.number = number + 1, .written = {}}));
  if (waits_for_disk) {
    unsure_.clear();
    unsure_bytes_ = 0;
    last_sync_ = now;
  }
  num_sent_ = 0;
  in_transaction_ = is_begun_ = false;
}

PostgresConnection::~PostgresConnection() {
  if (unsure_.empty() || in_transaction_) return;
  try {
    syncs_always_ = true;
    Begin();
    Commit();
  } catch (const Error&) {
    // The next session finds less, as after a loss of power.
  }
}

const PostgresConnection::Plan& PostgresConnection::Describe(Plan& plan) {
  if (!plan.is_described) Persist([&] { session_.Describe(plan); });
  return plan;
}

PostgresResult PostgresConnection::Query(Plan& plan, const std::vector<SqlValue>& values) {
  return Persist([&] {
    SendTransaction();
    session_.Send(plan, values);
    return session_.Sync();
  });
}

std::shared_ptr<PostgresRows> PostgresConnection::Find(Plan& plan, const std::vector<SqlValue>& values) {
  if (is_writer_) {
    return std::make_shared<PostgresRows>(PostgresRows{{Query(plan, values)}, /*is_complete=*/true});
  }
  return Persist([&] {
    session_.Send(plan, values);
    return session_.SyncRows();
  });
}

PostgresResult PostgresConnection::Next(PostgresRows& rows) {
  try {
    return session_.Next(rows);
  } catch (const ConnectionLost& lost) {
    throw MakeError(ErrorCode::kUnavailable, "journal {}: the database is away: {}", place_, lost.why);
  }
}

void PostgresConnection::Write(Plan& plan, std::vector<SqlValue> values) {
  if (!is_writer_) {
    Query(plan, values);
    return;
  }
  const bool is_alone = !in_transaction_;
  if (is_alone) Begin();
  size_t bytes = 0;
  for (const SqlValue& value : values) bytes += sizeof(value) + value.bytes.size();
  open_.bytes += bytes;
  open_.written.push_back({&plan, std::move(values), bytes});
  if (is_alone) {
    Commit();
  } else if (open_.written.size() - num_sent_ >= kSentAhead) {
    Persist([&] {
      SendTransaction();
      session_.FlushOutput();
    });
  }
}

void PostgresConnection::Execute(const std::string& sql) {
  try {
    if (!session_.IsOpen()) Connect();
    SendTransaction();
    session_.Script(sql);
  } catch (const ConnectionLost& lost) {
    throw MakeError(ErrorCode::kUnavailable, "journal {}: the connection was lost: {}", place_, lost.why);
  }
}

void PostgresConnection::BeginTables() {
  Execute(fmt::format("BEGIN; CREATE SCHEMA {0}; {1} {2}; INSERT INTO writer VALUES('{3}', 0)",
                      QuotedName(name_), PostgresFunctions(QuotedName(name_)), kCreateWriter, token_));
  is_writer_ = in_transaction_ = is_begun_ = true;
  THRONG_CHECK(TryLock());  // nobody else sees the schema yet
}

void PostgresConnection::UseLog(bool sync_always) {
  syncs_always_ = sync_always;
  if (access_ == Access::kCreate) return;  // BeginTables does it
  Execute(fmt::format("UPDATE writer SET session = '{}', transactions = 0", token_));
  is_writer_ = true;
}

void PostgresConnection::MarkFormat(int version) {
  Execute(fmt::format("COMMENT ON SCHEMA {} IS '{}{}'", QuotedName(name_), kMark, version));
}

void PostgresConnection::CheckFormat(int version) {
  const std::string mark = TextOf(fmt::format(
      "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = '{}'", name_));
  if (!mark.starts_with(kMark)) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: the schema {} of the database is not a journal", place_,
                    name_);
  }
  if (mark.substr(kMark.size()) != std::to_string(version)) {
    throw MakeError(ErrorCode::kUnsupported, "journal {}: it has format {}, this program knows format {}",
                    place_, mark.substr(kMark.size()), version);
  }
  // What may not be used is passed over without a word.
  if (TextOf("SELECT current_schema()").empty()) {
    throw MakeError(ErrorCode::kIo, "journal {}: the database refuses: permission denied for schema {}",
                    place_, name_);
  }
}

bool PostgresConnection::HasTable(const std::string&, const std::string& name) {
  return !TextOf(fmt::format("SELECT to_regclass('{}')", name)).empty();
}

std::vector<std::string> PostgresConnection::Tables() {
  const PostgresResult rows = Query(
      PlanOf("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'writer'"),
      {});
  std::vector<std::string> names;
  for (int i = 0; i < PQntuples(rows.get()); ++i) names.emplace_back(PQgetvalue(rows.get(), i, 0));
  return names;
}

int64_t PostgresConnection::Bytes() {
  return std::stoll(
      TextOf("SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND "
             "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"));
}

void PostgresConnection::Remove() {
  if (!is_writer_) return;  // it was somebody else's before, and could not be made
  Execute(fmt::format("DROP SCHEMA {} CASCADE", QuotedName(name_)));
}

std::unique_ptr<Prepared> PostgresConnection::Prepare(const std::string& sql) {
  return std::make_unique<PostgresStatement>(*this, sql);
}

std::unique_ptr<Connection> OpenPostgres(const PostgresPlace& place, Access access) {
  return std::make_unique<PostgresConnection>(place, access);
}

bool ExistsInPostgres(const PostgresPlace& place) {
  return PostgresConnection(place, Access::kCreate).Exists();
}

}  // namespace throng::journal
