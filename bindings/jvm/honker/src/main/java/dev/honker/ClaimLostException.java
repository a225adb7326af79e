package dev.honker;

/** The claim on a job was lost: it is done by somebody else, or was cancelled. */
public class ClaimLostException extends HonkerException {
  private static final long serialVersionUID = 1;

  ClaimLostException(String message) {
    super(message, Abi.LOST, "HONKER_LOST", 0, 0);
  }
}
