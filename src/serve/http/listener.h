// Accepts connections, within the limits in all and per address, and ends them when they take too long.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "serve/http/connection.h"

namespace throng::serve {

class Listener {
 public:
  // Begins to listen; port 0 is any that is free. Throws kIo if that cannot be. `site` outlives this object,
  // which sets its on_close.
  Listener(Site& site, const std::string& host, int port);
  ~Listener();

  int Port() const { return port_; }
  void Start();
  // Accepts nobody, closes idle connections, cancels what is still in work after `seconds`, and stops the
  // loop when no connection is left.
  void Drain(double seconds);
  void CloseAll();

 private:
  using Clock = Connection::Clock;
  using Tcp = boost::asio::ip::tcp;

  struct Entry {
    std::shared_ptr<Connection> connection;
    std::string network;
  };

  void Accept();
  void Admit(Tcp::socket socket, const Tcp::endpoint& client);
  void CloseLongestWaiting();
  void WaitToCheck();
  void Check();
  void Forget(Connection& connection);
  std::vector<std::shared_ptr<Connection>> Connections() const;

  Site& site_;
  Tcp::acceptor acceptor_;
  boost::asio::steady_timer check_timer_;
  boost::asio::steady_timer retry_timer_;
  int port_ = 0;
  size_t most_ = 0;  // connections at once
  std::unordered_map<Connection*, Entry> entries_;
  std::map<std::string, int> per_network_;
  Clock::time_point cancel_at_ = Clock::time_point::max();
};

}  // namespace throng::serve
