#include "journal/read/series.h"

#include <algorithm>

#include "journal/store/database.h"

namespace throng::journal {

std::vector<Series> AllSeries(const Journal& journal, int64_t most) {
  const int64_t width = std::max<int64_t>(1, (journal.NumSteps() + most - 1) / most);
  std::vector<Series> all;
  // PostgreSQL has no sums of values of any type.
  Statement row(
      journal.GetDatabase(),
      "SELECT name, agent >= 0, step / ?1 * ?1, avg(number), min(number), max(number) FROM (SELECT name, "
      "agent, "
      "step, CAST(CAST(value AS TEXT) AS DOUBLE PRECISION) AS number FROM collected WHERE typeof(value) IN "
      "('integer', 'real')) AS numbers GROUP BY 1, 2, 3 ORDER BY 1, 2, 3");
  row.Bind(width);
  while (row.Step()) {
    const std::string name = row.Text(0);
    const bool of_agents = row.Int(1) != 0;
    if (all.empty() || all.back().name != name || all.back().of_agents != of_agents) {
      all.push_back({name, of_agents, {}});
    }
    all.back().points.push_back({row.Int(2), row.Double(3), row.Double(4), row.Double(5)});
  }
  return all;
}

}  // namespace throng::journal
