// What a session waits for. One row, which it writes anew now and then, and which ends with it.

#include "journal/in_flight.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "journal/journal.h"
#include "journal/store/clock.h"
#include "journal/store/database.h"

namespace throng::journal {

void Journal::TellInFlight(double s, std::vector<CallInFlight> calls) {
  if (session_ == 0) return;
  std::sort(calls.begin(), calls.end(), [](const auto& a, const auto& b) {
    return std::tie(a.key, a.issued_s) < std::tie(b.key, b.issued_s);
  });
  nlohmann::json rows = nlohmann::json::array();
  for (const CallInFlight& call : calls) {
    rows.push_back({call.key.step, call.key.agent, call.key.call, call.function, call.issued_s,
                    call.arrived_s ? nlohmann::json(*call.arrived_s) : nlohmann::json(),
                    call.is_guess ? 1 : 0});
  }
  Touch();
  Statement tell(*database_,
                 "INSERT INTO in_flight VALUES(?,?,?,?) ON CONFLICT(session) DO UPDATE SET s = excluded.s, "
                 "told = excluded.told, calls = excluded.calls");
  tell.Bind(session_).Bind(s).Bind(std::string_view(NowUtc())).Bind(std::string_view(rows.dump())).Run();
}

void Journal::ForgetInFlight() {
  Touch();
  Statement(*database_, "DELETE FROM in_flight").Run();
}

}  // namespace throng::journal
