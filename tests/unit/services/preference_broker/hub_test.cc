#include "services/preference_broker/rpc/hub.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace backflip::preference_broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

Hub::Clock::time_point Never() { return Hub::Clock::now() + hours(1); }

TEST(Hub, WakesWhoWaitsForTheTopicAndNobodyElse) {
  Hub hub;
  std::atomic<int> a{0}, b{0};
  hub.Wait("a", hub.Now(), Never(), [&] { ++a; });
  hub.Wait("b", hub.Now(), Never(), [&] { ++b; });
  hub.Signal("a");
  hub.Signal("a");
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 0);
  hub.Drain();
  EXPECT_EQ(b, 1);
}

TEST(Hub, ASignalBetweenLookingAndWaitingIsNotLost) {
  Hub hub;
  const uint64_t looked = hub.Now();
  hub.Signal("a");
  bool woken = false;
  hub.Wait("a", looked, Never(), [&] { woken = true; });
  EXPECT_TRUE(woken);
  // but one from before the look wakes nobody
  woken = false;
  hub.Wait("a", hub.Now(), Never(), [&] { woken = true; });
  EXPECT_FALSE(woken);
  hub.Drain();
}

TEST(Hub, WakesWhenTimeIsUp) {
  Hub hub;
  std::promise<void> later, sooner;
  hub.Wait("a", hub.Now(), Hub::Clock::now() + milliseconds(30), [&] { later.set_value(); });
  hub.Wait("a", hub.Now(), Hub::Clock::now() + milliseconds(10), [&] { sooner.set_value(); });
  sooner.get_future().wait();
  later.get_future().wait();
}

TEST(Hub, WhoComesWhileDrainingIsWokenAtOnce) {
  Hub hub;
  hub.Drain();
  bool woken = false;
  hub.Wait("a", hub.Now(), Never(), [&] { woken = true; });
  EXPECT_TRUE(woken);
  EXPECT_TRUE(hub.draining());
}

TEST(Hub, LosesNoWakeAmongThreads) {
  Hub hub;
  constexpr int kSignals = 2000;
  std::atomic<int> value{0};
  std::thread writer([&] {
    for (int i = 0; i < kSignals; ++i) {
      ++value;
      hub.Signal("a");
    }
  });
  // waits for each value that was not there when it looked
  int seen = 0;
  while (seen < kSignals) {
    const uint64_t looked = hub.Now();
    seen = value;
    if (seen == kSignals) break;
    auto woken = std::make_shared<std::promise<void>>();
    hub.Wait("a", looked, Never(), [woken] { woken->set_value(); });
    woken->get_future().wait();
  }
  writer.join();
}

}  // namespace
}  // namespace backflip::preference_broker
