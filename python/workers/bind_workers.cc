#include "python/workers/bind_workers.h"

#include <pybind11/stl.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "python/convert/with_python.h"
#include "python/llm/completion.h"
#include "python/module/bind.h"
#include "python/module/ending.h"
#include "python/workers/worker.h"
#include "workers/process_link.h"
#include "workers/redis_link.h"
#include "workers/redis_seat.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// A worker's place, for python/throng/workers.py.
class PythonSeat {
 public:
  explicit PythonSeat(int socket) : seat_(std::make_unique<workers::ProcessSeat>(socket)) {}
  // tell: a function of a sentence that a user would like to know.
  PythonSeat(const std::string& address, const std::string& name, py::object tell) {
    const auto tell_user = [tell = std::move(tell)](const std::string& text) {
      const WithPython lock;
      tell(MakeText(text));
    };
    auto seat = std::make_unique<workers::RedisSeat>(workers::RedisAddress::Parse(address), name, tell_user);
    redis_ = seat.get();
    seat_ = std::move(seat);
  }

  // Whether there will be another session of the run.
  bool GoesOn() const { return redis_ != nullptr && !redis_->HasEnded(); }

  // What the run has to say of itself. Raises throng.Error if it ends before.
  py::bytes Job() {
    const LongCall call;
    while (got_.empty()) {
      bool goes_on = false;
      {
        const WithoutPython unlocked;
        goes_on = seat_->Receive(got_, 1.0);
      }
      CheckEnding();
      if (got_.empty() && !goes_on) throw Error(ErrorCode::kCancelled, "the run has ended");
    }
    const py::bytes job(got_.front().text);
    got_.erase(got_.begin());
    return job;
  }

  void Refuse(const std::string& why) { seat_->Send({workers::FromWorker::Kind::kRefused, 0, 0, why}); }

  void Work(const py::object& world, const std::string& seeds, const std::string& digest) {
    const LongCall call;
    Worker(*seat_, world, sim::ParseSeeds(seeds), digest).Run(std::move(got_));
  }

 private:
  std::unique_ptr<workers::Seat> seat_;
  workers::RedisSeat* redis_ = nullptr;  // seat_, if it is one
  std::vector<workers::ToWorker> got_;   // and not handled
};

}  // namespace

std::unique_ptr<workers::Link> MakeLink(const py::object& crew, const PythonWorld& world,
                                        const sim::Seeds& seeds) {
  auto job = crew.attr("job")(world.ScenarioDigest().Hex(), sim::FormatSeeds(seeds)).cast<std::string>();
  if (const py::object address = crew.attr("address"); !address.is_none()) {
    const auto tell = [](const std::string& text) {
      const WithPython lock;
      py::module_::import("warnings").attr("warn")(MakeText(text), py::handle(PyExc_RuntimeWarning), 2);
    };
    const auto parsed = workers::RedisAddress::Parse(address.cast<std::string>());
    const WithoutPython unlocked;
    return std::make_unique<workers::RedisLink>(parsed, std::move(job), tell);
  }
  const auto start = [start = crew.attr("start")] {
    const WithPython lock;
    return start().cast<int>();
  };
  return std::make_unique<workers::ProcessLink>(crew.attr("count").cast<int>(), std::move(job), start);
}

void AddWorkers(py::module_& module) {
  py::class_<PythonSeat>(module, "Seat")
      .def(py::init<int>(), py::arg("socket"))
      .def(py::init<const std::string&, const std::string&, py::object>(), py::arg("address"),
           py::arg("name"), py::arg("tell"))
      .def("goes_on", &PythonSeat::GoesOn)
      .def("job", &PythonSeat::Job)
      .def("refuse", &PythonSeat::Refuse)
      .def("work", &PythonSeat::Work, py::arg("world"), py::arg("seeds"), py::arg("digest"));
}

}  // namespace throng::python
