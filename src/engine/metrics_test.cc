#include "engine/metrics.h"

#include <gtest/gtest.h>

namespace throng::engine {
namespace {

TEST(MetricsTest, PrintsPrometheusText) {
  MetricsRegistry registry;
  registry.Counter("throng:a_total", "As").Add(2);
  registry.Gauge("throng:b", "Bs").Set(0.5);
  registry.Durations("throng:c_seconds", "Cs").Observe(0.25);
  registry.Durations("throng:c_seconds", "Cs").Observe(0.26);
  registry.Durations("throng:c_seconds", "Cs").Observe(1000);
  EXPECT_EQ(registry.PrometheusText(),
            "# HELP throng:a_total As\n# TYPE throng:a_total counter\nthrong:a_total 2\n"
            "# HELP throng:b Bs\n# TYPE throng:b gauge\nthrong:b 0.5\n"
            "# HELP throng:c_seconds Cs\n# TYPE throng:c_seconds histogram\n"
            "throng:c_seconds_bucket{le=\"0.001\"} 0\nthrong:c_seconds_bucket{le=\"0.005\"} 0\n"
            "throng:c_seconds_bucket{le=\"0.01\"} 0\nthrong:c_seconds_bucket{le=\"0.025\"} 0\n"
            "throng:c_seconds_bucket{le=\"0.05\"} 0\nthrong:c_seconds_bucket{le=\"0.1\"} 0\n"
            "throng:c_seconds_bucket{le=\"0.25\"} 1\nthrong:c_seconds_bucket{le=\"0.5\"} 2\n"
            "throng:c_seconds_bucket{le=\"1\"} 2\nthrong:c_seconds_bucket{le=\"2.5\"} 2\n"
            "throng:c_seconds_bucket{le=\"5\"} 2\nthrong:c_seconds_bucket{le=\"10\"} 2\n"
            "throng:c_seconds_bucket{le=\"30\"} 2\nthrong:c_seconds_bucket{le=\"120\"} 2\n"
            "throng:c_seconds_bucket{le=\"+Inf\"} 3\nthrong:c_seconds_sum 1000.51\nthrong:c_seconds_count 3\n");
}

}  // namespace
}  // namespace throng::engine
