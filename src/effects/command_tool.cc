#include "effects/command_tool.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>
#include <utility>

#include "base/error.h"

extern char** environ;

namespace throng::effects {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kExitPoll(2);
constexpr size_t kMaxErrorBytes = 2000;  // the end of the standard error that is kept

class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_, O_CLOEXEC) != 0) throw MakeError(ErrorCode::kIo, "pipe: {}", std::strerror(errno));
  }
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int Read() const { return ends_[0]; }
  int Write() const { return ends_[1]; }
  void CloseRead() { Close(ends_[0]); }
  void CloseWrite() { Close(ends_[1]); }

 private:
  static void Close(int& end) {
    if (end >= 0) close(std::exchange(end, -1));
  }
  int ends_[2] = {-1, -1};
};

// A process in a group of its own.
class Process {
 public:
  explicit Process(const std::vector<std::string>& command) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input.Read(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output.Write(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors.Write(), STDERR_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    std::vector<std::string> copies = command;
    std::vector<char*> argv;
    for (std::string& argument : copies) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const int error = posix_spawnp(&id_, argv[0], &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      throw MakeError(ErrorCode::kIo, "{} cannot be started: {}", command[0], std::strerror(error));
    input.CloseRead();
    output.CloseWrite();
    errors.CloseWrite();
    for (const int end : {input.Write(), output.Read(), errors.Read()}) fcntl(end, F_SETFL, O_NONBLOCK);
  }
  ~Process() {
    if (id_ > 0) Kill();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // The wait status; nothing if it does not end by then.
  std::optional<int> WaitUntil(Clock::time_point deadline) {
    int status = 0;
    while (waitpid(id_, &status, WNOHANG) == 0) {
      if (Clock::now() >= deadline) return std::nullopt;
      std::this_thread::sleep_for(kExitPoll);
    }
    id_ = 0;
    return status;
  }

  Pipe input, output, errors;

 private:
  void Kill() {
    kill(-id_, SIGKILL);
    while (waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  pid_t id_ = 0;
};

// A write to a process that reads no more must fail instead of ending this one.
void BlockSigpipe() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

// Passes on what there is to write and to read until the process closes its outputs.
class Exchange {
 public:
  Exchange(Process& process, std::string_view input) : process_(process), input_(input) {}

  enum class End { kClosed, kLate, kTooLong };
  End RunUntil(Clock::time_point deadline) {
    bool reads_output = true;
    bool reads_errors = true;
    while (reads_output || reads_errors) {
      if (input_.empty()) process_.input.CloseWrite();
      pollfd ends[] = {{process_.input.Write(), POLLOUT, 0},
                       {reads_output ? process_.output.Read() : -1, POLLIN, 0},
                       {reads_errors ? process_.errors.Read() : -1, POLLIN, 0}};
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) return End::kLate;
      poll(ends, std::size(ends), static_cast<int>(std::min<int64_t>(left, 1000)));
      if (ends[0].revents != 0) WriteSome();
      if (ends[1].revents != 0) reads_output = ReadSome(process_.output.Read(), output);
      if (ends[2].revents != 0) reads_errors = ReadSome(process_.errors.Read(), errors);
      if (output.size() > kMaxOutputBytes) return End::kTooLong;
      if (errors.size() > 2 * kMaxErrorBytes) errors.erase(0, errors.size() - kMaxErrorBytes);
    }
    return End::kClosed;
  }

  std::string output;
  std::string errors;

 private:
  void WriteSome() {
    const ssize_t n = write(process_.input.Write(), input_.data(), input_.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    input_.remove_prefix(n < 0 ? input_.size() : static_cast<size_t>(n));  // it need not read all of it
  }
  static bool ReadSome(int end, std::string& text) {
    char buffer[4096];
    const ssize_t n = read(end, buffer, sizeof(buffer));
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    text.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }

  Process& process_;
  std::string_view input_;
};

std::string LastLine(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  const size_t newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

std::string DescribeEnd(int status, const std::string& errors) {
  const std::string how = WIFSIGNALED(status) ? fmt::format("it was ended by signal {}", WTERMSIG(status))
                                              : fmt::format("exit code {}", WEXITSTATUS(status));
  const std::string why = LastLine(errors);
  return why.empty() ? how : how + ": " + why;
}

}  // namespace

std::string AsJson(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (nlohmann::json::accept(text)) return text;
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

CommandTool::CommandTool(std::string name, llm::Effect effect, double timeout_s,
                         std::vector<std::string> argv)
    : Tool(std::move(name), effect, timeout_s), argv_(std::move(argv)) {
  if (argv_.empty() || argv_[0].empty()) {
    throw MakeError(ErrorCode::kInvalid, "tool {:?}: it has no command, needed: a program and its arguments",
                    Name());
  }
}

ToolResult CommandTool::Use(const std::string& arguments) {
  BlockSigpipe();
  const Clock::time_point deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                        std::chrono::duration<double>(TimeoutSeconds()));
  Process process(argv_);
  Exchange exchange(process, arguments);
  const Exchange::End end = exchange.RunUntil(deadline);
  if (end == Exchange::End::kLate) return TimedOut();
  if (end == Exchange::End::kTooLong)
    return WithoutResult(fmt::format("its output is longer than {} bytes", kMaxOutputBytes));
  const std::optional<int> status = process.WaitUntil(deadline);
  if (!status.has_value()) return TimedOut();
  if (WIFSIGNALED(*status)) return WithoutResult(DescribeEnd(*status, exchange.errors));
  if (*status != 0) return {ToolResult::Outcome::kFailed, DescribeEnd(*status, exchange.errors)};
  return {ToolResult::Outcome::kDone, AsJson(std::move(exchange.output))};
}

}  // namespace throng::effects
