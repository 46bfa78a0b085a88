#include "tests/support/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/support/await.h"

namespace backflip::testing {
namespace {

constexpr int kLookMs = 2;
constexpr size_t kPiece = 64 << 10;
// No more is read ahead.
constexpr size_t kQueued = 64;
constexpr absl::Duration kRetransmission = absl::Milliseconds(200);

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

}  // namespace

struct Wire::Piece {
  absl::Time due;
  std::string bytes;
};

struct Wire::Direction {
  int from, to;
  bool ended = false;   // `from` sends no more
  bool passed = false;  // and `to` was told
  std::deque<Piece> pieces;
};

struct Wire::Connection {
  ~Connection() {
    close(there.from);
    close(there.to);
  }
  Direction there, back;
};

absl::StatusOr<std::unique_ptr<Wire>> Wire::Start(std::string listen_path,
                                                  std::string target_path) {
  std::unique_ptr<Wire> wire(new Wire());
  wire->listen_path_ = std::move(listen_path);
  wire->target_path_ = std::move(target_path);
  wire->listening_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const sockaddr_un address = AddressOf(wire->listen_path_);
  unlink(wire->listen_path_.c_str());
  if (bind(wire->listening_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(wire->listening_, 256) != 0) {
    return absl::InternalError(
        absl::StrCat("cannot listen at ", wire->listen_path_, ": ", std::strerror(errno)));
  }
  wire->thread_ = std::thread([w = wire.get()] { w->Work(); });
  return wire;
}

Wire::~Wire() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  close(listening_);
  unlink(listen_path_.c_str());
}

void Wire::Accept() {
  while (true) {
    const int from = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (from < 0) return;
    const int to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = AddressOf(target_path_);
    auto connection = std::make_unique<Connection>();
    connection->there = {.from = from, .to = to};
    connection->back = {.from = to, .to = from};
    if (connect(to, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) continue;
    fcntl(to, F_SETFL, O_NONBLOCK);
    connections_.push_back(std::move(connection));
  }
}

void Wire::Set(Mode mode) {
  mode_ = mode;
  stopped_ = false;
}

bool Wire::AwaitStopped() const {
  return Await([this] { return stopped_.load(); });
}

bool Wire::Carry(Direction* direction, bool held) {
  if (held) {
    char byte;
    if (recv(direction->from, &byte, 1, MSG_PEEK) > 0) stopped_ = true;
    return true;
  }
  const absl::Time now = absl::Now();
  absl::Time due = now;
  if (mode_ == Mode::kSlow) due += absl::Milliseconds(delay_ms_.load());
  while (!direction->ended && direction->pieces.size() < kQueued) {
    std::string bytes(kPiece, '\0');
    const ssize_t size = recv(direction->from, bytes.data(), bytes.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (size < 0) return false;
    direction->ended = size == 0;
    if (size == 0) break;
    bytes.resize(size);
    if (mode_ == Mode::kSlow && draws_() % lost_of_ == 0) due += kRetransmission;
    // in order
    if (!direction->pieces.empty()) due = std::max(due, direction->pieces.back().due);
    direction->pieces.push_back({due, std::move(bytes)});
  }
  while (!direction->pieces.empty() && direction->pieces.front().due <= now) {
    std::string& bytes = direction->pieces.front().bytes;
    const ssize_t sent = send(direction->to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (sent < 0) return false;
    bytes.erase(0, sent);
    if (!bytes.empty()) return true;
    direction->pieces.pop_front();
  }
  if (direction->ended && direction->pieces.empty() && !direction->passed) {
    shutdown(direction->to, SHUT_WR);
    direction->passed = true;
  }
  return true;
}

void Wire::Work() {
  while (!stop_) {
    const Mode mode = mode_;
    // who connects while nothing comes through waits for the first answer
    Accept();
    const auto over = [&](const std::unique_ptr<Connection>& connection) {
      const bool held = mode == Mode::kHold;
      if (mode == Mode::kCut) stopped_ = true;
      return mode == Mode::kCut || !Carry(&connection->there, held) ||
             !Carry(&connection->back, held || mode == Mode::kHoldAnswers) ||
             (connection->there.passed && connection->back.passed);
    };
    connections_.erase(std::remove_if(connections_.begin(), connections_.end(), over),
                       connections_.end());
    std::vector<pollfd> polled = {{listening_, POLLIN, 0}};
    if (mode == Mode::kPass) {
      for (const auto& connection : connections_) {
        for (const Direction* direction : {&connection->there, &connection->back}) {
          if (!direction->ended) polled.push_back({direction->from, POLLIN, 0});
        }
      }
    }
    poll(polled.data(), polled.size(), mode == Mode::kPass ? 20 : kLookMs);
  }
  connections_.clear();
}

}  // namespace backflip::testing
