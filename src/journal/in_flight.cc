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
  using Json = nlohmann::json;
  Json rows = Json::array();
  for (const CallInFlight& call : calls) {
    rows.push_back({call.key.step, call.key.agent, call.key.call, call.function, call.issued_s,
                    call.arrived_s ? Json(*call.arrived_s) : Json(), call.is_guess ? 1 : 0,
                    call.standing ? Json(call.standing->is_queued ? 1 : 0) : Json(),
                    call.standing && !call.standing->server.empty() ? Json(call.standing->server) : Json()});
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
