package dev.honker;

/**
 * What becomes of a job that a worker has in hand; `delaySeconds` may be {@link Checks#NO_TIME}.
 */
record Settlement(int kind, long delaySeconds, String error) {
  static final Settlement ACK = new Settlement(Abi.SETTLE_ACK, 0, "");
  static final Settlement RELEASE = new Settlement(Abi.SETTLE_RELEASE, 0, "");

  static Settlement retry(long delaySeconds, String error) {
    return new Settlement(Abi.SETTLE_RETRY, delaySeconds, error);
  }

  static Settlement fail(String error) {
    return new Settlement(Abi.SETTLE_FAIL, 0, error);
  }
}
