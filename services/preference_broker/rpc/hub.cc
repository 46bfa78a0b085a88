#include "services/preference_broker/rpc/hub.h"

#include <algorithm>
#include <utility>

namespace backflip::preference_broker {

Hub::Hub() : timer_([this] { TimeOut(); }) {}

Hub::~Hub() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    timer_wake_.NotifyAll();
  }
  timer_.join();
}

uint64_t Hub::Now() {
  base::MutexLock lock(&mutex_);
  return now_;
}

void Hub::Signal(const std::string& topic) {
  std::vector<std::function<void()>> wakes;
  {
    base::MutexLock lock(&mutex_);
    signalled_[topic] = ++now_;
    for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
      if (waiter->topic == topic) {
        wakes.push_back(std::move(waiter->wake));
        waiter = waiters_.erase(waiter);
      } else {
        ++waiter;
      }
    }
  }
  for (const auto& wake : wakes) wake();
}

bool Hub::SignalledSince(const std::string& topic, uint64_t since) {
  base::MutexLock lock(&mutex_);
  const auto signalled = signalled_.find(topic);
  return signalled != signalled_.end() && signalled->second > since;
}

void Hub::Wait(const std::string& topic, uint64_t since, Clock::time_point until,
               std::function<void()> wake) {
  {
    base::MutexLock lock(&mutex_);
    const auto signalled = signalled_.find(topic);
    if (!draining_ && (signalled == signalled_.end() || signalled->second <= since)) {
      waiters_.push_back({topic, until, std::move(wake)});
      timer_wake_.NotifyAll();
      return;
    }
  }
  wake();
}

void Hub::Drain() {
  std::list<Waiter> waiters;
  {
    base::MutexLock lock(&mutex_);
    draining_ = true;
    waiters.swap(waiters_);
  }
  for (const Waiter& waiter : waiters) waiter.wake();
}

bool Hub::draining() {
  base::MutexLock lock(&mutex_);
  return draining_;
}

void Hub::TimeOut() {
  while (true) {
    std::vector<std::function<void()>> wakes;
    {
      base::MutexLock lock(&mutex_);
      if (stop_) return;
      const Clock::time_point now = Clock::now();
      Clock::time_point next = now + std::chrono::seconds(10);
      for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
        if (waiter->until <= now) {
          wakes.push_back(std::move(waiter->wake));
          waiter = waiters_.erase(waiter);
        } else {
          next = std::min(next, waiter->until);
          ++waiter;
        }
      }
      if (wakes.empty()) timer_wake_.WaitFor(&mutex_, next - now);
    }
    for (const auto& wake : wakes) wake();
  }
}

}  // namespace backflip::preference_broker
